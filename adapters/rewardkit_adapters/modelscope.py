"""ModelScopeT2V and its relatives (ZeroScope, the mini world): a UNet over films, CLIP text, an image autoencoder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from jaxtyping import Float, Int
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from rewardkit.engine.generator import Embedding, FilmShape, Generator, Level
from rewardkit.engine.noise import Latents, Levels, levels_of, to_clean
from rewardkit.errors import BadInputError
from rewardkit_adapters.folder import check_pipeline, load_network, load_scheduler, load_tokenizer

FRAMES_AT_ONCE = 16  # in the autoencoder, whose activations are what fills memory


class ModelScope(Generator):
    """The parts of a `TextToVideoSDPipeline`, loaded by folder: that class may leave diffusers, its parts will not."""

    name: ClassVar[str] = "modelscope"
    default_guidance: ClassVar[float] = 9.0
    frames: ClassVar[int] = 16

    def __init__(
        self,
        unet: UNet3DConditionModel,
        text: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        vae: AutoencoderKL,
        scheduler: DDIMScheduler,
    ) -> None:
        self.unet, self.text, self.tokenizer, self.vae, self.scheduler = unet, text, tokenizer, vae, scheduler
        for part in (unet, text, vae):
            part.requires_grad_(False).eval()
        self.shrinks = 2 ** (len(vae.config["block_out_channels"]) - 1)
        side = unet.config["sample_size"] * self.shrinks
        self.default_shape = FilmShape(self.frames, side, side)

    @classmethod
    def load(cls, model: str, device: torch.device, dtype: torch.dtype) -> Self:
        """From a folder in the pipeline's layout, or a hub id."""
        check_pipeline(cls.name, model, "TextToVideoSDPipeline")
        text = load_network(CLIPTextModel, cls.name, model, "text_encoder", dtype)
        return cls(
            load_network(UNet3DConditionModel, cls.name, model, "unet", dtype).to(device),
            text.to(device),
            load_tokenizer(CLIPTokenizer, cls.name, model, "tokenizer", text.config.vocab_size),
            load_network(AutoencoderKL, cls.name, model, "vae", dtype).to(device),
            load_scheduler(DDIMScheduler, cls.name, model, "scheduler"),
        )

    @classmethod
    def tiny(cls, seed: int = 0) -> Self:
        """The same classes with random weights, on the CPU: 4 MB, films of 32 by 32. For tests."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            tokenizer = _tiny_tokenizer()
            return cls(
                UNet3DConditionModel(
                    sample_size=8,
                    block_out_channels=(16, 32),
                    down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
                    up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
                    layers_per_block=1,
                    norm_num_groups=8,
                    cross_attention_dim=32,
                    attention_head_dim=8,
                ),
                CLIPTextModel(_tiny_text(tokenizer)),
                tokenizer,
                AutoencoderKL(
                    down_block_types=("DownEncoderBlock2D",) * 3,
                    up_block_types=("UpDecoderBlock2D",) * 3,
                    block_out_channels=(8, 8, 16),
                    layers_per_block=1,
                    latent_channels=4,
                    norm_num_groups=4,
                    sample_size=32,
                ),
                DDIMScheduler(
                    beta_schedule="scaled_linear",
                    beta_start=0.00085,
                    beta_end=0.012,
                    clip_sample=False,
                    set_alpha_to_one=False,
                    steps_offset=1,
                    timestep_spacing="leading",
                ),
            )

    @torch.no_grad()
    def embed(self, prompts: Sequence[str]) -> Embedding:
        """The last hidden states of CLIP's text tower. Warns of a prompt that it cannot read to its end."""
        longest = min(self.tokenizer.model_max_length, self.text.config.max_position_embeddings)
        for prompt in dict.fromkeys(prompts):
            count = len(self.tokenizer(prompt, verbose=False).input_ids)  # verbose would tell a log, and once
            if count > longest:
                # at one line, so that Python shows it once for each prompt
                warnings.warn(
                    f"{self.name} reads the first {longest - 2} of the {count - 2} tokens of {prompt!r}: "
                    "shorten it, or say first what matters",
                    stacklevel=1,
                )
        tokens = self.tokenizer(
            list(prompts), padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
        )
        return {"encoder_hidden_states": self.text(tokens.input_ids.to(self.text.device)).last_hidden_state}

    @torch.no_grad()
    def encode(self, video: Float[Tensor, "batch frame 3 height width"]) -> Latents:
        """Frame by frame; the mean of the posterior, so that the same film is always the same latents."""
        batch, frames, _, height, width = video.shape
        self.latent_shape(FilmShape(frames, height, width))
        pixels = (video.flatten(0, 1) * 2 - 1).to(self.vae.device, self.vae.dtype)
        means = [self.vae.encode(some).latent_dist.mean for some in torch.split(pixels, FRAMES_AT_ONCE)]
        latents: Tensor = torch.cat(means).float() * self.vae.config["scaling_factor"]
        return latents.view(batch, frames, *latents.shape[1:]).transpose(1, 2)

    def decode(
        self, latents: Latents, frames: Int[Tensor, "batch chosen"] | None = None
    ) -> Float[Tensor, "batch chosen 3 height width"]:
        """Each frame by itself, so that choosing first gives the very frames of a whole film."""
        by_frame = latents.transpose(1, 2)
        if frames is not None:
            by_frame = by_frame[torch.arange(len(latents), device=frames.device)[:, None], frames]
        pictures = by_frame.flatten(0, 1).to(self.vae.dtype) / self.vae.config["scaling_factor"]
        pixels = torch.cat([self.vae.decode(some).sample.float() for some in torch.split(pictures, FRAMES_AT_ONCE)])
        return (pixels / 2 + 0.5).clamp(0, 1).view(*by_frame.shape[:2], *pixels.shape[1:])

    def levels(self, steps: int, shape: FilmShape) -> Levels:
        """DDIM's, whatever scheduler of the same chain the folder names."""
        return levels_of(self.scheduler, steps)

    def predict_clean(self, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """By one pass of the UNet."""
        output = self.unet(noisy.to(self.unet.dtype), level.timestep, **embedding).sample.to(noisy.dtype)
        return to_clean(self.scheduler.config["prediction_type"], output, noisy, level.signal, level.noise)

    def latent_shape(self, shape: FilmShape) -> tuple[int, int, int, int]:
        """An eighth of each side for the published models."""
        if shape.frames < 1 or min(shape[1:]) < 1 or shape.height % self.shrinks or shape.width % self.shrinks:
            raise BadInputError(
                f"{self.name} makes films of 1 frame or more whose sides are multiples of {self.shrinks}: "
                f"got {shape.frames} of {shape.height} by {shape.width}"
            )
        side = (shape.height // self.shrinks, shape.width // self.shrinks)
        return self.unet.config["in_channels"], shape.frames, *side

    def denoisers(self) -> Mapping[str, nn.Module]:
        """The UNet."""
        return {"unet": self.unet}

    def lora_targets(self) -> Sequence[str]:
        """Queries, keys, values and outputs of every attention, spatial and temporal, as InstructVideo."""
        return "to_q", "to_k", "to_v", "to_out.0"


def _tiny_tokenizer() -> CLIPTokenizer:
    """Every byte is a word."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)


def _tiny_text(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
