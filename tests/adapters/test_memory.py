"""What saves memory: each setting alone, what it changes and what it does not, and what the three choices mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rewardkit as rk
from rewardkit.engine.create import create_backbone
from rewardkit.engine.denoise import Guidance, Words, walk
from rewardkit.engine.finetune import finetune
from rewardkit.engine.generate import generate
from rewardkit.engine.lora import LoraSettings, lora_weights
from rewardkit.engine.memory import BIG, Memory, choose_memory
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.errors import UsageError
from rewardkit_adapters.backbone import Backbone
from tests.adapters.backbones import CASES, NAMES, PROMPTS, kind_of, noise, tiny, with_lora
from tests.engine.toy import Toy

CPU = torch.device("cpu")


def placed(name: str, kind: str, **settings: Any) -> Backbone:
    backbone = kind_of(name).tiny(kind)
    backbone.place(CPU, Memory(**settings))
    return backbone


def learned(backbone: Backbone) -> tuple[list[Tensor], int]:
    """Gradient of the LoRA through one step and three frames, and how many numbers its graph keeps at most at once."""
    with_lora(backbone, LoraSettings(rank=2))
    shape = backbone.tiny_shape
    words = Words(backbone.embed(PROMPTS), backbone.embed(["", ""]))
    levels, kept = backbone.levels(4, shape).last(0.5), Kept()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
        latents = walk(backbone, noise(backbone, shape), levels, words, Guidance(3.0), frozenset({1}))
        film = backbone.decode(latents, torch.tensor([[0, 3], [2, 3]]))
        film.pow(2).mean().backward()
    return [weight.grad for weight in lora_weights(backbone).values() if weight.grad is not None], kept.most


class Kept:
    """The numbers that graphs keep, as long as they do."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> tuple[Tensor, Counted]:
        return tensor, Counted(self, tensor.numel())

    def unpack(self, packed: tuple[Tensor, Counted]) -> Tensor:
        return packed[0]


class Counted:
    def __init__(self, kept: Kept, size: int) -> None:
        self.kept, self.size = kept, size
        kept.now += size
        kept.most = max(kept.most, kept.now)

    def __del__(self) -> None:
        self.kept.now -= self.size


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_computed_again_changes_no_gradient(name: str, kind: str) -> None:
    plain, _ = learned(placed(name, kind))
    saved, _ = learned(placed(name, kind, checkpoint_denoiser=True, checkpoint_vae=True, offload_vae=True))
    assert len(plain) == len(saved) > 0
    largest = max(float(part.abs().max()) for part in plain)
    for a, b in zip(plain, saved, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * largest, rtol=1e-3)


@pytest.mark.parametrize("setting", ["checkpoint_denoiser", "checkpoint_vae"])
@pytest.mark.parametrize("name", ["modelscope", "wan", "mochi", "hunyuanvideo"])  # the first two lack a flag for one
def test_what_is_computed_again_is_not_kept(name: str, setting: str) -> None:
    kind = kind_of(name).kinds[0]
    sizes = [learned(placed(name, kind, **{setting: on}))[1] for on in (False, True)]
    assert sizes[1] < 0.95 * sizes[0]


@pytest.mark.parametrize("name", NAMES)
def test_tiles_change_films_little_and_let_gradient_through(name: str) -> None:
    kind = kind_of(name).kinds[0]
    plain, tiled = tiny(name, kind), placed(name, kind, tile_vae=True)
    small = {"sample_min": 16, "sample_stride": 8}
    for side in ("height", "width"):
        for what, size in small.items():
            if hasattr(tiled.vae, f"tile_{what}_{side}"):
                setattr(tiled.vae, f"tile_{what}_{side}", size)
    if hasattr(tiled.vae, "tile_latent_min_size"):
        tiled.vae.tile_sample_min_size, tiled.vae.tile_latent_min_size = 16, 4
    latents = noise(plain, plain.tiny_shape)
    latents.requires_grad_()
    frames = torch.tensor([[0, 3], [2, 1]])
    one, other = plain.decode(latents, frames), tiled.decode(latents, frames)
    assert other.shape == one.shape
    assert (one - other).abs().mean() < 0.1
    (gradient,) = torch.autograd.grad(other.sum(), latents)
    assert gradient.any()


def watched(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is moved where; there is one device here, so that its name is all there is to see."""
    moves: list[str] = []
    device = torch.device("cpu", 0)  # as good as another
    backbone.device = device
    for name, network in backbone.networks().items():

        def to(where: object, name: str = name) -> None:
            moves.append(f"{name} {'waits' if where == 'cpu' else 'comes'}")

        monkeypatch.setattr(network, "to", to)
    return moves


def test_text_encoders_and_autoencoder_wait_in_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = placed("hunyuanvideo", "embedded", text="offload", offload_vae=True)
    moves = watched(backbone, monkeypatch)
    backbone.embed(PROMPTS)
    names = ["text_encoder", "text_encoder_2"]
    assert sorted(moves) == sorted(f"{name} {what}" for name in names for what in ("comes", "waits"))
    moves.clear()
    latents = noise(backbone, backbone.tiny_shape)
    with torch.no_grad():
        backbone.decode(latents)
    assert moves == ["vae comes", "vae waits"]
    moves.clear()
    film = backbone.decode(latents.requires_grad_())
    assert moves == ["vae comes"], "its weights are needed on the way back"
    film.sum().backward()
    assert moves == ["vae comes", "vae waits"]


def test_what_is_kept_is_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = placed("wan", "2.1")
    moves = watched(backbone, monkeypatch)
    backbone.embed(PROMPTS)
    backbone.decode(noise(backbone, backbone.tiny_shape))
    assert not any("waits" in move for move in moves)


def test_a_training_gives_up_the_text_encoder_and_new_prompts_are_refused(tmp_path: Path) -> None:
    backbone = placed("ltx", "0.9", text="free")
    settings = FinetuneConfig.model_validate(
        {"steps": 1, "batch_size": 2, "walk_steps": 2, "guards": {"every": 1, "prompts": 1, "seeds": 2}}
    )
    reward = rk.create_reward("tests.judges:Brightness[frames=segments:2]")
    shape = backbone.tiny_shape
    finetune(backbone, reward, prompts=PROMPTS, config=settings, output_dir=tmp_path, shape=shape)
    assert backbone.text_encoder is None
    assert "text_encoder" not in backbone.networks()
    with pytest.raises(UsageError, match=r"^ltx has given up its text encoder, as memory.text says: 'a dog' is new$"):
        generate(backbone, ["a dog"], steps=2, shape=shape)
    kept = placed("ltx", "0.9", text="offload")
    kept.free_text()
    assert kept.text_encoder is not None


KNOBS = kind_of("wan").knobs.fget(tiny("wan", "2.1"))  # type: ignore[attr-defined]


def test_choices_say_what_they_mean() -> None:
    assert choose_memory("fast", "wan", KNOBS, 14 * BIG) == Memory()
    assert choose_memory("auto", "wan", KNOBS, BIG - 1) == Memory()
    same = Memory(checkpoint_denoiser=True, checkpoint_vae=True, text="offload")
    assert choose_memory("auto", "wan", KNOBS, BIG) == same
    low = Memory(checkpoint_denoiser=True, checkpoint_vae=True, offload_vae=True, text="free", decode="window")
    assert choose_memory("low", "wan", KNOBS, 1) == low
    assert choose_memory("low", "latte", tiny("latte", "").knobs, 1).tile_vae
    assert choose_memory("low", "toy", (), 14 * BIG) == Memory()


def test_what_cannot_be_saved_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^no choice of memory is called 'most': take low, auto or fast$"):
        create_backbone("miniworld", device="cpu", memory="most")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^latte cannot do memory.decode = 'window'; it can do checkpoint_denoiser, "):
        placed("latte", "", decode="window")
    with pytest.raises(UsageError, match=r"^toy cannot do memory.tile_vae = True"):
        Toy().place(CPU, Memory(tile_vae=True))


def test_blocks_without_a_flag_are_wrapped_and_names_stay() -> None:
    backbone = tiny("modelscope", "")
    names = list(backbone.denoisers()["unet"].state_dict())
    wrapped = placed("modelscope", "", checkpoint_denoiser=True)
    assert list(wrapped.denoisers()["unet"].state_dict()) == names
    blocks = [m for m in wrapped.denoisers()["unet"].children() if isinstance(m, nn.ModuleList)]
    assert any("forward" in vars(block) for some in blocks for block in some)
