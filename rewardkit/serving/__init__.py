"""The server's side of judges in another process; runs without rewardkit."""
