"""The parts of a pipeline: where each is, what it does to take less memory, and when it has to be on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rewardkit.engine.generator import Generator
from rewardkit.engine.memory import Memory, choose_memory
from rewardkit.engine.noise import Latents
from rewardkit_adapters.checkpointing import checkpoint_each, checkpoint_network
from rewardkit_adapters.decoding import Steps


class Parts(Generator):
    """A generator of parts, frozen and in evaluation mode, under the names that they have in their pipeline.

    Attributes:
        device: where it computes.
        memory: what it does to save memory.
        steps: the decoder step by step, if it can be stepped through.
        may_cut: whether leaving out later latents is a way to come near the film.
    """

    may_cut: ClassVar[bool] = False
    steps: Steps | None = None
    vae: Any
    scheduler: Any
    text_encoder: Any
    tokenizer: Any

    def __init__(self, **parts: Any) -> None:
        self._parts, self.device, self.memory = parts, torch.device("cpu"), Memory()
        self._pending = 0  # films whose gradient has yet to pass through the autoencoder
        for name, part in parts.items():
            setattr(self, name, part)
            if isinstance(part, nn.Module):
                part.requires_grad_(False).eval()

    def networks(self) -> dict[str, nn.Module]:
        """Every part that has weights."""
        return {name: part for name, part in self._parts.items() if isinstance(part, nn.Module)}

    def denoisers(self) -> Mapping[str, nn.Module]:
        """The UNet or the transformers."""
        return {name: part for name, part in self.networks().items() if name.startswith(("unet", "transformer"))}

    @property
    def knobs(self) -> frozenset[str]:
        """What memory can be saved with."""
        found = {"checkpoint_denoiser", "checkpoint_vae", "tile_vae", "offload_vae", "text", "decode:full"}
        ways = {"decode:window": self.steps is not None, "decode:prefix": self.may_cut}
        return frozenset(found | {way for way, there in ways.items() if there})

    def place(self, device: torch.device, memory: str | Memory = "auto") -> None:
        """Text encoders and autoencoder wait in main memory where they are told to."""
        size = sum(weight.numel() for denoiser in self.denoisers().values() for weight in denoiser.parameters())
        self.device, self.memory = device, choose_memory(memory, self.name, self.knobs, size)
        for name, network in self.networks().items():
            network.to("cpu" if self._waits(name) else device)
        if self.memory.checkpoint_denoiser:
            for denoiser in self.denoisers().values():
                checkpoint_network(denoiser)
        if self.memory.checkpoint_vae:
            checkpoint_each(self.layers_of_decoder())
        if self.memory.tile_vae:
            self.vae.enable_tiling()

    def layers_of_decoder(self) -> list[nn.Module]:
        """What is computed again by itself: convolutions with their norms, and in tiles the decoder, tile by tile."""
        decoder = self.vae.decoder
        layers = [layer for layer in decoder.modules() if "ResnetBlock" in type(layer).__name__]
        return [*layers, decoder] if self.memory.tile_vae else layers

    def free_text(self) -> None:
        """Lets go of text encoders and tokenizers."""
        if self.memory.text == "free":
            for name in [name for name in self._parts if name.startswith(("text_encoder", "tokenizer"))]:
                self._parts[name] = None
                setattr(self, name, None)

    def _stepping(self) -> bool:
        return self.steps is not None and not self.memory.tile_vae

    def _waits(self, name: str) -> bool:
        text = name.startswith("text_encoder") and self.memory.text != "keep"
        return text or (name == "vae" and self.memory.offload_vae and not self._pending)

    @contextmanager
    def _awake(self, name: str) -> Iterator[None]:
        """Parts whose name begins so are on the device in here."""
        some = [part for whole, part in self.networks().items() if whole.startswith(name)]
        for part in some:
            part.to(self.device)
        yield
        self._sleep(name)

    def _sleep(self, name: str) -> None:
        for whole, part in self.networks().items():
            if whole.startswith(name) and self._waits(whole):
                part.to("cpu")

    def _kept_awake(self, latents: Latents) -> Latents:
        """The same latents; the autoencoder stays on the device until gradient has passed through it to them."""
        graph = latents.view_as(latents)
        if self.memory.offload_vae and graph.requires_grad:
            self._pending += 1
            graph.register_hook(self._passed)  # type: ignore[no-untyped-call]
        return graph

    def _passed(self, gradient: Tensor) -> None:
        self._pending -= 1
        self._sleep("vae")
