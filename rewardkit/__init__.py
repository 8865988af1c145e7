"""Reward models for generated video, and reward fine-tuning of text-to-video generators.

Every public name is imported when it is first used, so that `import rewardkit` loads no torch. `__init__.pyi`
lists the names and where they live.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
