"""Rewards side by side: agreement with people, response to defects, stability, cost."""
