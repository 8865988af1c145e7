"""Judges and rewards over HTTP: a file for the server and one for the client, and both run without rewardkit."""
