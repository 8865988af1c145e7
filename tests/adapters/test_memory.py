"""What saves memory: each setting alone, what it changes and what it does not, and what the three choices mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rewardkit as rk
from rewardkit.engine.create import create_backbone
from rewardkit.engine.denoise import Guidance, Words, level_at, told, walk
from rewardkit.engine.finetune import finetune
from rewardkit.engine.generate import generate
from rewardkit.engine.lora import LoraSettings, lora_weights
from rewardkit.engine.memory import BIG, Memory, choose_memory
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.errors import UsageError
from rewardkit_adapters.backbone import Backbone
from tests.adapters.backbones import FIRST, NAMES, PROMPTS, kind_of, noise, short, tiny, with_lora
from tests.engine.toy import Toy

CPU = torch.device("cpu")


def placed(name: str, kind: str, **settings: Any) -> Backbone:
    backbone = kind_of(name).tiny(kind)
    backbone.place(CPU, Memory(**settings))
    return backbone


def learned(backbone: Backbone) -> list[Tensor]:
    """Gradient of the LoRA through one step and three frames."""
    with_lora(backbone, LoraSettings(rank=2))
    shape = short(backbone)
    words, levels = Words(backbone.embed(PROMPTS), backbone.embed(["", ""])), backbone.levels(4, shape).last(0.5)
    latents = walk(backbone, noise(backbone, shape), levels, words, Guidance(3.0), frozenset({1}))
    backbone.decode(latents, torch.tensor([[0, 2], [2, 1]])).pow(2).mean().backward()
    return [weight.grad for weight in lora_weights(backbone).values() if weight.grad is not None]


class Kept:
    """How many numbers graphs keep, and at most at once."""

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


@pytest.mark.parametrize(("name", "kind"), FIRST)
def test_what_is_computed_again_changes_no_gradient(name: str, kind: str) -> None:
    plain = learned(placed(name, kind))
    saved = learned(placed(name, kind, checkpoint_denoiser=True, checkpoint_vae=True, offload_vae=True))
    assert len(plain) == len(saved) > 0
    largest = max(float(part.abs().max()) for part in plain)
    for a, b in zip(plain, saved, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * largest, rtol=1e-3)


def pass_of_denoiser(backbone: Backbone) -> None:
    shape = short(backbone)
    level = level_at(backbone.levels(4, shape), 2, torch.empty(0))
    start = noise(backbone, shape).requires_grad_()
    words = Words(backbone.embed(PROMPTS), {})
    backbone.predict_clean(start, level, told(backbone, level, words, Guidance(3.0))).sum().backward()


def pass_of_decoder(backbone: Backbone) -> None:
    backbone.decode(noise(backbone, short(backbone)).requires_grad_()).sum().backward()


@pytest.mark.parametrize(
    ("setting", "run"), [("checkpoint_denoiser", pass_of_denoiser), ("checkpoint_vae", pass_of_decoder)]
)
@pytest.mark.parametrize("name", NAMES)  # ModelScope's UNet and Wan's autoencoder have no flag for it
def test_what_is_computed_again_is_not_kept(name: str, setting: str, run: Callable[[Backbone], None]) -> None:
    most = []
    for on in (False, True):
        kept = Kept()
        backbone = placed(name, kind_of(name).kinds[0], **{setting: on})
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
            run(backbone)
        most.append(kept.most)
    assert most[1] < 0.7 * most[0]


@pytest.mark.parametrize("name", NAMES)
def test_tiles_are_those_of_diffusers_and_let_gradient_through(name: str) -> None:
    backbone = placed(name, kind_of(name).kinds[0], tile_vae=True)
    vae = backbone.vae
    if name in ("animatediff", "latte", "modelscope"):
        vae.tile_sample_min_size, vae.tile_latent_min_size = 16, 4
    elif name == "cogvideox":
        vae.enable_tiling(24, 20)  # a sixth and a fifth overlap
    else:
        size = {"ltx": 32}.get(name, 16)
        sides = ("height", "width")
        vae.enable_tiling(**{f"tile_sample_{what}_{side}": size for side in sides for what in ("min", "stride")})
    shape = short(backbone)._replace(height=64, width=96)
    latents, frames = noise(backbone, shape).requires_grad_(), torch.tensor([[0, 2], [2, 1]])
    mean, scale = backbone._statistics()
    own = latents.detach() * scale + mean
    with torch.no_grad():
        own = own.transpose(1, 2).flatten(0, 1) if backbone.frame_ratio == 1 else own
        whole = (vae.decode(own).sample / 2 + 0.5).clamp(0, 1)
        vae.disable_tiling()
        plain = (vae.decode(own).sample / 2 + 0.5).clamp(0, 1)
        vae.use_tiling = True
    assert not torch.allclose(whole, plain, atol=1e-3), "no tiles were made"
    whole = whole.unflatten(0, (2, -1)) if backbone.frame_ratio == 1 else whole.transpose(1, 2)
    film = backbone.decode(latents, frames)
    expected = torch.stack([one[some] for one, some in zip(whole, frames, strict=True)])
    torch.testing.assert_close(film, expected, atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad(film.sum(), latents)
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
    with pytest.raises(
        UsageError, match=r"^ltx has given up its text encoder, as memory.text says: no new prompt can be read$"
    ):
        generate(backbone, ["a dog"], steps=2, shape=shape)
    kept = placed("ltx", "0.9", text="offload")
    kept.free_text()
    assert kept.text_encoder is not None


KNOBS = kind_of("wan").knobs.fget(tiny("wan", "2.1"))  # type: ignore[attr-defined]


def test_choices_say_what_they_mean() -> None:
    assert choose_memory("fast", "wan", KNOBS, 14 * BIG) == Memory()
    assert choose_memory("auto", "wan", KNOBS, BIG - 1) == Memory()
    engine = {"split_guidance": True}
    same = Memory(checkpoint_denoiser=True, checkpoint_vae=True, text="offload", **engine)
    assert choose_memory("auto", "wan", KNOBS, BIG) == same
    parts = {"checkpoint_denoiser": True, "checkpoint_vae": True, "offload_vae": True, "text": "free"}
    low = Memory(**parts, decode="window", activations=0, **engine)
    assert choose_memory("low", "wan", KNOBS, 1) == low
    assert choose_memory("low", "latte", tiny("latte", "").knobs, 1).tile_vae
    assert choose_memory("low", "toy", (), 14 * BIG) == Memory(activations=0, **engine)


def test_what_cannot_be_saved_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^no choice of memory is called 'most': take low, auto or fast$"):
        create_backbone("miniworld", device="cpu", memory="most")
    with pytest.raises(UsageError, match=r"^latte cannot do memory.decode = 'window'; it can do activations, "):
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
