"""What rewardkit needs of a machine, looked at piece by piece, with a line to paste for whatever is amiss."""
