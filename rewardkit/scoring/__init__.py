"""Scoring files: which videos with which prompts, rows that survive a crash, and comparison of two sets of rows."""
