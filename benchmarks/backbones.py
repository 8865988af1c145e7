"""What does a step of fine-tuning take with each backbone: measured on the small ones, worked out for the published?

    python benchmarks/backbones.py [NAME ...]

Measured: one step of `RewardGradient` on `tiny()`, two films, guidance, gradient through the last of two steps of four:
seconds (median of three) and megabytes that torch's CPU allocator gives out at most above the weights.

Computed: networks of the published sizes on meta tensors, in bfloat16, one film of the authors' own size, a LoRA of
rank 16. Their forward passes run, and every tensor that autograd would keep is counted, each storage once, weights not;
attention is taken to be a fused kernel that keeps its inputs, its output and a number a row. A step keeps either the
graph of one pass of the denoiser (the engine computes it again on the way back, when the decoder's is gone) or that of
decoding four planned frames; the larger counts. `checkpointed` keeps the inputs of all blocks and the inside of the
largest. Not counted: gradients in flight, workspaces of kernels, fragments, reward model, optimiser of the LoRA.
The GPU named is the smallest with a tenth and a gigabyte to spare; none of this was run on a GPU.

Writes results/backbones.json.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import diffusers
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLLTXVideo,
    AutoencoderKLMochi,
    AutoencoderKLWan,
    CogVideoXTransformer3DModel,
    HunyuanVideoTransformer3DModel,
    LatteTransformer3DModel,
    LTXVideoTransformer3DModel,
    MochiTransformer3DModel,
    UNet3DConditionModel,
    UNetMotionModel,
    WanTransformer3DModel,
)
from one_step import loss_of, set_up
from recording import processor, record
from timing import allocated, in_turn
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rewardkit import create_reward
from rewardkit.engine.generator import FilmShape, Level
from rewardkit.engine.lora import LoraSettings, add_lora, lora_weights
from rewardkit.engine.memory import Memory
from rewardkit.engine.objectives import RewardGradient
from rewardkit.registry import BACKBONES
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.decoding import Steps

GPUS = {24: "24 GB", 32: "32 GB", 48: "48 GB", 80: "80 GB", 96: "96 GB", 141: "141 GB", 192: "192 GB"}
GIGA = 1e9
T5_XXL, UMT5_XXL, CLIP_L, CLIP_H, LLAMA_8B = 4.76, 5.68, 0.123, 0.354, 7.5  # thousand million parameters


@dataclass(frozen=True)
class Published:
    """A published model.

    Attributes:
        backbone: that loads it.
        kind: of `tiny()` whose other parts it takes.
        networks: makes denoisers and autoencoder.
        shape: of its films.
        text: thousand million parameters of its text encoders.
        words: width of the text that the denoiser is told.
        more: other things that it is told, by name: their shapes.
    """

    backbone: str
    kind: str
    networks: Callable[[], dict[str, nn.Module]]
    shape: FilmShape
    text: float
    words: int
    more: dict[str, tuple[int, ...]] = field(default_factory=dict)


def image_vae(side: int) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=side,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip


def wan_vae_of_5b() -> AutoencoderKLWan:
    return AutoencoderKLWan(
        base_dim=160, decoder_base_dim=256, z_dim=48, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        scale_factor_spatial=16, latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
    )  # fmt: skip


def wan(heads: int, ffn: int, layers: int, channels: int = 16) -> WanTransformer3DModel:
    return WanTransformer3DModel(
        num_attention_heads=heads, ffn_dim=ffn, num_layers=layers, in_channels=channels, out_channels=channels
    )


def cog(heads: int, layers: int, **more: Any) -> CogVideoXTransformer3DModel:
    return CogVideoXTransformer3DModel(num_attention_heads=heads, num_layers=layers, **more)


def latte() -> LatteTransformer3DModel:
    return LatteTransformer3DModel(
        num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8, num_layers=28,
        cross_attention_dim=1152, attention_bias=True, sample_size=64, patch_size=2,
        activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
        norm_elementwise_affine=False, norm_eps=1e-6, caption_channels=4096, video_length=16,
    )  # fmt: skip


COG_VAE = {"sample_height": 480, "sample_width": 720}
MASK = {"encoder_attention_mask": (1,)}  # filled up to the number of words
MODELS = {
    "ModelScopeT2V": Published(
        "modelscope", "", lambda: {"unet": UNet3DConditionModel(sample_size=32), "vae": image_vae(256)},
        FilmShape(16, 256, 256), CLIP_H, 1024,
    ),
    "AnimateDiff v1.5": Published(
        "animatediff", "",
        lambda: {"unet": UNetMotionModel(sample_size=64, cross_attention_dim=768), "vae": image_vae(512)},
        FilmShape(16, 512, 512), CLIP_L, 768,
    ),
    "Latte-1": Published(
        "latte", "", lambda: {"transformer": latte(), "vae": image_vae(512)}, FilmShape(16, 512, 512), T5_XXL, 4096
    ),
    "CogVideoX 2B": Published(
        "cogvideox", "2b", lambda: {"transformer": cog(30, 30), "vae": AutoencoderKLCogVideoX(**COG_VAE)},
        FilmShape(49, 480, 720), T5_XXL, 4096,
    ),
    "CogVideoX 5B": Published(
        "cogvideox", "5b",
        lambda: {
            "transformer": cog(48, 42, use_rotary_positional_embeddings=True), "vae": AutoencoderKLCogVideoX(**COG_VAE)
        },
        FilmShape(49, 480, 720), T5_XXL, 4096,
    ),
    "CogVideoX 1.5 5B": Published(
        "cogvideox", "1.5",
        lambda: {
            "transformer": cog(
                48, 42, use_rotary_positional_embeddings=True, patch_size_t=2, patch_bias=False, sample_height=96,
                sample_width=170, sample_frames=81,
            ),
            "vae": AutoencoderKLCogVideoX(**COG_VAE),
        },
        FilmShape(81, 768, 1360), T5_XXL, 4096,
    ),
    "LTX-Video 0.9": Published(
        "ltx", "0.9", lambda: {"transformer": LTXVideoTransformer3DModel(), "vae": AutoencoderKLLTXVideo()},
        FilmShape(161, 512, 704), T5_XXL, 4096, MASK,
    ),
    "Mochi 1": Published(
        "mochi", "", lambda: {"transformer": MochiTransformer3DModel(), "vae": AutoencoderKLMochi()},
        FilmShape(85, 480, 848), T5_XXL, 4096, MASK,
    ),
    "HunyuanVideo": Published(
        "hunyuanvideo", "embedded",
        lambda: {"transformer": HunyuanVideoTransformer3DModel(), "vae": AutoencoderKLHunyuanVideo()},
        FilmShape(129, 720, 1280), LLAMA_8B + CLIP_L, 4096,
        MASK | {"pooled_projections": (1, 768), "guidance": (1,)},
    ),
    "Wan 2.1 1.3B": Published(
        "wan", "2.1", lambda: {"transformer": wan(12, 8960, 30), "vae": AutoencoderKLWan()},
        FilmShape(81, 480, 832), UMT5_XXL, 4096,
    ),
    "Wan 2.1 14B": Published(
        "wan", "2.1", lambda: {"transformer": wan(40, 13824, 40), "vae": AutoencoderKLWan()},
        FilmShape(81, 480, 832), UMT5_XXL, 4096,
    ),
    "Wan 2.2 A14B": Published(
        "wan", "2.2-a14b",
        lambda: {
            "transformer": wan(40, 13824, 40), "transformer_2": wan(40, 13824, 40), "vae": AutoencoderKLWan()
        },
        FilmShape(81, 480, 832), UMT5_XXL, 4096,
    ),
    "Wan 2.2 5B": Published(
        "wan", "2.2-5b", lambda: {"transformer": wan(24, 14336, 30, 48), "vae": wan_vae_of_5b()},
        FilmShape(121, 704, 1280), UMT5_XXL, 4096,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="published models; all if none is named")
    wanted = parser.parse_args().names or list(MODELS)
    warnings.simplefilter("ignore")
    diffusers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    rows = {}
    for name in wanted:
        published = MODELS[name]
        kind = BACKBONES.load(published.backbone)
        assert isinstance(kind, type)
        assert issubclass(kind, Backbone)
        tiny = kind.tiny(published.kind)
        rows[name] = {
            "backbone": published.backbone,
            "prediction": tiny.prediction,
            "guidance": tiny.guidance,
            "decoding": tiny.decoding,
            "lora_file": tiny.lora_file,
            "shape": list(published.shape),
            "prefix_error": approximated(tiny),
            "tiny": measured(tiny),
            "computed": computed(published, kind),
        }
        print(name, rows[name], flush=True)
    if wanted == list(MODELS):
        record("backbones", {"cpu": processor(), "threads": 1, "models": rows})


@torch.no_grad()
def approximated(backbone: Backbone) -> float | None:
    """Mean difference of pixels where later latents are left out; None where frames do not depend on them."""
    if "decode:prefix" not in backbone.knobs:
        return None
    shape = backbone.tiny_shape._replace(frames=1 + 3 * backbone.frame_ratio)
    latents = torch.randn(2, *backbone.latent_shape(shape), generator=torch.Generator().manual_seed(0))
    frames = torch.arange(1 + backbone.frame_ratio).expand(2, -1)
    films = []
    for way in ("prefix", "full"):
        backbone.memory = Memory(decode=way)  # type: ignore[arg-type]
        films.append(backbone.decode(latents, frames))
    backbone.memory = Memory()
    return round(float((films[0] - films[1]).abs().mean()), 4)


def measured(backbone: Backbone) -> dict[str, float]:
    """Seconds and megabytes of a step."""
    for weight in add_lora(backbone, LoraSettings(rank=4)).values():
        weight.data.normal_(std=0.02)
    reward, objective = create_reward("technical", frames="segments:4"), RewardGradient(tau=0.5)
    backbone.memory = Memory(activations=0.0)
    bench, group = set_up(backbone, reward, objective, 4, backbone.tiny_shape, films=2)

    def step() -> None:
        loss_of(bench, group, objective).backward()

    times = in_turn({"step": step}, 3)["step"]
    for weight in lora_weights(backbone).values():
        weight.grad = None
    return {"seconds": round(statistics.median(times), 3), "megabytes": allocated(step)}


@dataclass
class Node:
    """A unit that may be computed again: bytes that it keeps itself, those that enter units in it, its largest unit."""

    own: int = 0
    entering: int = 0
    largest: int = 0

    @property
    def cost(self) -> int:
        return self.own + self.entering + self.largest


class Ledger:
    """What autograd keeps: of all, and where units are computed again."""

    def __init__(self, weights: set[int]) -> None:
        self.seen, self.entered = set(weights), set(weights)
        self.held: list[Tensor] = []  # so that no storage's address is used again
        self.total, self.open = 0, [Node()]

    def keep(self, tensor: Tensor) -> Tensor:
        size = self._new(tensor, self.seen)
        self.total += size
        self.open[-1].own += size
        return tensor

    @contextmanager
    def unit(self, given: object) -> Iterator[None]:
        if not torch.is_grad_enabled():
            yield
            return
        tensors = [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]
        self.open[-1].entering += sum(self._new(tensor, self.entered) for tensor in tensors)
        self.open.append(Node())
        yield
        inner = self.open.pop()
        self.open[-1].largest = max(self.open[-1].largest, inner.cost)

    def _new(self, tensor: Tensor, known: set[int]) -> int:
        storage = tensor.untyped_storage()
        if storage._cdata in known:
            return 0
        known.add(storage._cdata)
        self.held.append(tensor)
        return storage.nbytes()

    def gigabytes(self) -> dict[str, float]:
        return {"kept": round(self.total / GIGA, 2), "checkpointed": round(self.open[0].cost / GIGA, 2)}


class Fused(torch.autograd.Function):
    """Attention that keeps its inputs, its output, and a number a row."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = query.new_empty((*query.shape[:-1], value.shape[-1]))
        rows = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, rows)
        return output


def fused(query: Tensor, key: Tensor, value: Tensor, *given: object, **named: object) -> Tensor:
    made: Tensor = Fused.apply(query, key, value)
    return made


def units(network: nn.Module) -> list[nn.Module]:
    """What is checkpointed: the blocks; in AnimateDiff's UNet, whose class goes into them, their layers."""
    lists = [child for child in network.children() if isinstance(child, nn.ModuleList)]
    if isinstance(network, UNetMotionModel):
        inner = ("resnets", "attentions", "motion_modules")
        lists = [part for name, part in network.named_modules() if name.rpartition(".")[2] in inner]
    return [block for blocks in lists for block in blocks]


def watched(backbone: Backbone, blocks: list[nn.Module], run: Callable[[], Tensor]) -> Ledger:
    """What `run` keeps."""
    weights = {
        weight.untyped_storage()._cdata
        for network in backbone.networks().values()
        for weight in [*network.parameters(), *network.buffers()]
    }
    ledger = Ledger(weights)
    with ExitStack() as stack:
        stack.enter_context(on_meta())
        for block in blocks:
            forward = block.forward
            block.forward = _inside(ledger, forward)  # type: ignore[method-assign]
            stack.callback(setattr, block, "forward", forward)
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(ledger.keep, lambda kept: kept))
        run()
    return ledger


@contextmanager
def on_meta() -> Iterator[None]:
    """Meta tensors have no values: attention is fused, every token is a word, and nothing is cast for Mochi."""
    nonzero = torch.nonzero

    def every(mask: Tensor, **named: Any) -> Tensor:
        return torch.arange(mask.numel())[:, None] if mask.is_meta else nonzero(mask, **named)

    with ExitStack() as stack:
        stack.enter_context(patch.object(F, "scaled_dot_product_attention", fused))
        stack.enter_context(patch.object(torch, "autocast", lambda *given, **named: nullcontext()))
        stack.enter_context(patch.object(torch, "nonzero", every))
        stack.enter_context(torch.device("meta"))
        yield


def _inside(ledger: Ledger, forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*given: Any, **named: Any) -> Any:
        with ledger.unit((given, named)):
            return forward(*given, **named)

    return run


def computed(published: Published, kind: type[Backbone]) -> dict[str, Any]:
    """Gigabytes of a step at the published size."""
    with torch.device("meta"):
        networks = {name: network.to(torch.bfloat16) for name, network in published.networks().items()}
    backbone = kind(**{**kind.tiny_parts(published.kind), **networks})
    backbone.device = torch.device("meta")
    if hasattr(backbone, "_is_late"):
        backbone._is_late = lambda level: False  # type: ignore[attr-defined]  # meta tensors have no value
    add_lora(backbone, LoraSettings(rank=16))
    for weight in lora_weights(backbone).values():
        weight.data = weight.data.to(torch.bfloat16).to("meta")
    weights = {
        "denoisers": sum(map(_gigabytes, backbone.denoisers().values())),
        "vae": _gigabytes(networks["vae"]),
        "text": round(2 * published.text, 2),
    }
    start = torch.empty(1, *backbone.latent_shape(published.shape), device="meta")
    level = Level(*(torch.empty((), device="meta") for _ in range(3)))
    words: dict[str, Tensor] = {"encoder_hidden_states": torch.empty(1, backbone.prompt_tokens, published.words)}
    for name, size in published.more.items():
        words[name] = torch.ones(size) if name != "encoder_attention_mask" else torch.ones(1, backbone.prompt_tokens)
    told = {name: part.to("meta", torch.bfloat16) for name, part in words.items()}
    denoiser: Any = next(iter(backbone.denoisers().values()))
    passed = watched(backbone, units(denoiser), lambda: backbone.predict_clean(start, level, told))
    found: dict[str, Any] = {
        "weights": {name: round(size, 2) for name, size in weights.items()},
        "parameters": round(sum(w.numel() for d in backbone.denoisers().values() for w in d.parameters()) / 1e9, 2),
        "pass": passed.gigabytes(),
    }
    frames = (
        create_reward("technical", frames="segments:4")
        .plan(published.shape.frames, generator=torch.Generator().manual_seed(0))
        .index
    )
    stepped = backbone.steps is not None
    ways = {"decode": Memory(), "window": Memory(decode="window")} if stepped else {
        "decode": Memory(), "tiles": Memory(tile_vae=True)
    }  # fmt: skip
    for way, memory in ways.items():
        ledger = decoded(backbone, memory, start, frames)
        found[way] = ledger.gigabytes()
    least = found["window" if stepped else "tiles"]["checkpointed"]
    fast = sum(weights.values()) + max(found["pass"]["kept"], found["decode"]["kept"])
    low = weights["denoisers"] + max(found["pass"]["checkpointed"], least + weights["vae"])
    found["step"] = {"fast": round(fast, 1), "low": round(low, 1)}
    found["gpu"] = {name: smallest(size) for name, size in found["step"].items()}
    return found


def decoded(backbone: Backbone, memory: Memory, start: Tensor, frames: Tensor) -> Ledger:
    """What is kept of decoding planned frames."""
    backbone.memory = memory
    if memory.tile_vae:
        backbone.vae.enable_tiling()
    latents, steps = start.clone().requires_grad_(), backbone.steps
    if steps is None:
        return watched(backbone, backbone.layers_of_decoder(), lambda: backbone.decode(latents, frames))
    through = Through(steps)
    backbone.steps = through
    try:
        return watched(
            backbone, [through.module, *backbone.layers_of_decoder()], lambda: backbone.decode(latents, frames)
        )
    finally:
        backbone.steps = steps


class Through(Steps):
    """The same steps by a module, which can be watched: a step is what is computed again."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.module = steps, nn.Module()
        self.module.forward = steps.__call__  # type: ignore[method-assign]

    def sizes(self, total: int) -> list[int]:
        return self.steps.sizes(total)

    def __call__(self, z: Tensor, memory: Any) -> tuple[Tensor, Any]:
        made: tuple[Tensor, Any] = self.module.forward(z, memory)
        return made


def _gigabytes(network: nn.Module) -> float:
    return sum(weight.numel() for weight in network.parameters()) * 2 / GIGA


def smallest(gigabytes: float) -> str:
    """The GPU with a tenth and a gigabyte to spare."""
    fitting = [size for size in GPUS if size >= gigabytes * 1.1 + 1]
    return GPUS[fitting[0]] if fitting else f"more than {max(GPUS)} GB"


if __name__ == "__main__":
    main()
