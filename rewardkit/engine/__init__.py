"""Reward fine-tuning: noise a clip part-way, walk down, send the reward's gradient through the last steps."""
