"""`python -m rewardkit`."""

from rewardkit.cli import main

main()
