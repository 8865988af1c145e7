"""All checks by name, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from rewardkit.doctor import codecs, compute, folders, software, system
from rewardkit.doctor.finding import Check, Finding
from rewardkit.errors import first_line

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "python": software.python,
        "rewardkit": software.installation,
        "torch, torchvision": software.torch_and_torchvision,
        "packages": software.packages,
        **{f"extra {name}": partial(software.extra, name) for name in software.EXTRAS},
        "device": compute.device,
        "GPU memory": compute.gpu_memory,
        "threads": compute.threads,
        "FFmpeg": codecs.ffmpeg,
        **{f"codec {name}": partial(codecs.codec, name) for name in codecs.CODECS},
        "hub cache": folders.hub_cache,
        "network": folders.network,
        "hub token": folders.token,
        "temporary folder": folders.temporary_folder,
        "this folder": folders.output_folder,
        "shared memory": folders.shared_memory,
        "open files": system.open_files,
        "clock": system.clock,
    }
)

ONCE_MORE = "mend what else is bad and look again; if this stays, report it with this table"


def make(name: str) -> Finding:
    """What the check of that name finds; one that cannot be made is a finding, too."""
    try:
        return CHECKS[name]()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - on a broken machine anything may be raised
        return Finding(name, "bad", f"cannot be checked: {type(error).__name__}: {first_line(error)}", ONCE_MORE)
