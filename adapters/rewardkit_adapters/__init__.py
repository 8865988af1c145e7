"""Text-to-video backbones for rewardkit, one file each, over diffusers."""

import importlib.util

from rewardkit.errors import MissingExtraError

if importlib.util.find_spec("diffusers") is None:
    raise MissingExtraError("a text-to-video backbone", "diffusers", "adapters")
