"""Text-to-video backbones for rewardkit, one file each, over diffusers."""
