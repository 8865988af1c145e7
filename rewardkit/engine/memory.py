"""What a generator does to take less memory, each behind one setting, and three choices of all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, NonNegativeFloat, Tag

from rewardkit.errors import UsageError

BIG = 1_000_000_000  # parameters of a denoiser from which `auto` saves


class Memory(BaseModel):
    """Where memory is saved, and what it costs.

    Attributes:
        checkpoint_denoiser: keep the inputs of the denoiser's blocks and compute the rest again; a third more time.
        checkpoint_vae: the same in the autoencoder.
        tile_vae: encode and decode in overlapping tiles that are blended; pixels change a little. A decoder in tiles
            is not stepped through, so that `window` has no effect.
        offload_vae: the autoencoder waits in main memory while it has nothing to do.
        text: the text encoder stays on the device, waits in main memory, or is given up once a training has read its
            prompts.
        decode: `exact` decodes what the chosen frames depend on; `window` gives the same frames, and gradient to the
            latents of chosen frames only; `prefix` leaves out later latents although frames depend on them; `full`
            decodes the whole film.
        split_guidance: the passes with and without the prompt go one after the other and not as one batch.
        activations: gigabytes that steps with gradient may keep for the way back. What does not fit is computed again,
            with the same gradient.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint_denoiser: bool = False
    checkpoint_vae: bool = False
    tile_vae: bool = False
    offload_vae: bool = False
    text: Literal["keep", "offload", "free"] = "keep"
    decode: Literal["exact", "window", "prefix", "full"] = "exact"
    split_guidance: bool = False
    activations: NonNegativeFloat = 1.0


AnyMemory = Annotated[
    Annotated[Literal["low", "auto", "fast"], Tag("choice")] | Annotated[Memory, Tag("settings")],
    Discriminator(lambda given: "settings" if isinstance(given, dict | Memory) else "choice"),
]
_ENGINE = ("split_guidance", "activations")  # which any generator can do
_SAME_FILM = {
    "checkpoint_denoiser": True,
    "checkpoint_vae": True,
    "text": "offload",
    "split_guidance": True,
}
_ALL = _SAME_FILM | {"tile_vae": True, "offload_vae": True, "text": "free", "decode": "window", "activations": 0.0}


def choose_memory(wanted: str | Memory, who: str, knobs: Collection[str], parameters: int) -> Memory:
    """The settings that a choice means for a generator.

    `fast` saves nothing, but for the limit of `activations`. `low` saves wherever the generator can; pixels and
    gradients may change a little. `auto` saves where neither changes, if the denoisers have a billion parameters or
    more, and is `fast` below.

    Args:
        wanted: a choice, or settings of one's own.
        who: the generator's name.
        knobs: what it has a setting for: names of `Memory`'s, and `decode:window` and so on for ways to decode.
        parameters: of its denoisers.

    Raises:
        UsageError: no such choice, or a setting that the generator has no means for.
    """
    knobs = {*knobs, *_ENGINE}
    if isinstance(wanted, Memory):
        return _checked(wanted, who, knobs)
    if wanted not in ("low", "auto", "fast"):
        raise UsageError(f"no choice of memory is called {wanted!r}: take low, auto or fast")
    saved: dict[str, Any] = {"low": _ALL, "auto": _SAME_FILM if parameters >= BIG else {}, "fast": {}}[wanted]
    if "decode:window" in knobs:  # whose memory is that of one step, so that tiles are not needed
        saved = {name: value for name, value in saved.items() if name != "tile_vae"}
    return Memory(**{name: value for name, value in saved.items() if _knob(name, value) in knobs})


def _checked(memory: Memory, who: str, knobs: Collection[str]) -> Memory:
    for name, value in memory.model_dump(exclude_defaults=True).items():
        if _knob(name, value) not in knobs:
            raise UsageError(f"{who} cannot do memory.{name} = {value!r}; it can do {', '.join(sorted(knobs))}")
    return memory


def _knob(name: str, value: object) -> str:
    return f"decode:{value}" if name == "decode" else name
