"""What a training takes of DeepSpeed: ZeRO's partition of frozen weights. LoRA, optimiser and gradient stay ours."""

from __future__ import annotations

import os

import torch
from torch import nn

from rewardkit.engine.lora import lora_layers
from rewardkit.errors import UsageError

STAGES = ("0", "1", "2", "3")
NOT_TAKEN = {
    "DEEPSPEED_CONFIG_FILE": "none",
    "DEEPSPEED_MOE_LAYER_CLS_NAMES": "none",
    "DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
    "DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
    "DEEPSPEED_ZERO3_INIT": "false",
    "DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "false",
    "GRADIENT_ACCUMULATION_STEPS": "1",
    "GRADIENT_CLIPPING": "none",
}
"""Settings that accelerate hands on and that are not followed here, and the value by which each is not used."""


def zero_stage() -> int:
    """The stage that accelerate was told.

    Raises:
        UsageError: it is none that there is, or another setting of DeepSpeed's cannot be followed.
    """
    for name, unused in NOT_TAKEN.items():
        value = os.environ.get(f"ACCELERATE_{name}", unused)
        if value.lower() not in (unused, "none", ""):
            setting = name.removeprefix("DEEPSPEED_").lower()
            raise UsageError(
                f"fine-tuning takes zero_stage alone of DeepSpeed's settings: leave out {setting} = {value}"
            )
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "")
    if stage not in STAGES:
        raise UsageError(
            f"fine-tuning needs a zero_stage of DeepSpeed: got {stage or 'none'}, take {', '.join(STAGES)}"
        )
    return int(stage)


def partition(denoiser: nn.Module) -> None:
    """Shares a denoiser's frozen weights out between processes; each is gathered for the moment of its use.

    The LoRA's layers are out of sight of DeepSpeed, which would partition them, too, and ask for its own optimiser.

    Raises:
        UsageError: deepspeed is not installed.
    """
    try:
        from deepspeed import comm
        from deepspeed.runtime.zero.parameter_offload import DeepSpeedZeRoOffload
        from deepspeed.runtime.zero.partition_parameters import is_zero_param
    except ImportError:
        raise UsageError("zero_stage 3 needs deepspeed: pip install deepspeed") from None
    if any(is_zero_param(weight) for weight in denoiser.parameters()):
        return  # for a training before
    if not comm.is_initialized():
        comm.init_distributed(dist_backend=torch.distributed.get_backend(), auto_mpi_discovery=False)
    aside = [(layer, name) for layer in lora_layers(denoiser).values() for name in ("lora_A", "lora_B")]
    parts = [getattr(layer, name) for layer, name in aside]
    for layer, name in aside:
        delattr(layer, name)
    try:
        config = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 3}}
        DeepSpeedZeRoOffload(denoiser, None, config)  # lives on in the hooks that it sets
    finally:
        for (layer, name), part in zip(aside, parts, strict=True):
            setattr(layer, name, part)
