"""`rewardkit env`."""

from __future__ import annotations

from rewardkit.cli.options import AsJson


def env(as_json: AsJson = False) -> None:
    """Print versions and devices, to paste into a bug report."""
    import os
    import platform

    import torch

    from rewardkit.cli.tables import echo_json, echo_table
    from rewardkit.device import choose_device
    from rewardkit.scoring.identity import versions

    facts = versions() | {
        "platform": platform.platform(),
        "processors": str(os.cpu_count()),
        "device": str(choose_device("auto")),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "HF_HOME": os.environ.get("HF_HOME", "not set"),
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "not set"),
    }
    if as_json:
        echo_json(facts)
    else:
        echo_table(("", ""), facts.items())
