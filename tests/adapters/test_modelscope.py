"""ModelScope's adapter against diffusers' own pipeline, on the real classes with random weights."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet3DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from rewardkit.engine.create import create_backbone
from rewardkit.engine.denoise import Guidance, Words, walk
from rewardkit.engine.generate import generate
from rewardkit.engine.generator import FilmShape
from rewardkit.engine.lora import LoraSettings, add_lora, load_lora, save_lora
from rewardkit.errors import BadCheckpointError, BadInputError, MissingWeightsError, UsageError
from rewardkit_adapters.miniworld import MiniWorld
from rewardkit_adapters.modelscope import ModelScope

PROMPTS = ["a red cat", "rain over a harbour at night"]
SHAPE = FilmShape(3, 24, 40)


@pytest.fixture(scope="module")
def tiny() -> ModelScope:
    return ModelScope.tiny()


@pytest.fixture(scope="module")
def saved(tiny: ModelScope, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the pipeline saves itself."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.plain().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """To be spoiled."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def noise(backbone: ModelScope, shape: FilmShape, batch: int = 2, seed: int = 1) -> Tensor:
    size = (batch, *backbone.latent_shape(shape))
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_tiny_is_quick_seeded_and_frozen(tiny: ModelScope) -> None:
    state = torch.random.get_rng_state()
    same, other = ModelScope.tiny(), ModelScope.tiny(seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(map(torch.equal, tiny.unet.parameters(), same.unet.parameters()))
    assert not all(map(torch.equal, tiny.unet.parameters(), other.unet.parameters()))
    assert not any(
        weight.requires_grad for part in (tiny.unet, tiny.text_encoder, tiny.vae) for weight in part.parameters()
    )
    assert not any(module.training for part in (tiny.unet, tiny.text_encoder, tiny.vae) for module in part.modules())
    assert tiny.default_shape == (16, 32, 32)


@pytest.mark.parametrize(("guidance", "steps", "shape"), [(9.0, 4, SHAPE), (1.0, 5, FilmShape(2, 32, 16))])
def test_films_are_those_of_the_pipeline(tiny: ModelScope, guidance: float, steps: int, shape: FilmShape) -> None:
    start = noise(tiny, shape)
    theirs = tiny.plain()(
        prompt=PROMPTS, latents=start, num_inference_steps=steps, guidance_scale=guidance, output_type="pt"
    ).frames
    ours = generate(tiny, PROMPTS, steps=steps, guidance=guidance, noise=start, shape=shape)
    assert ours.shape == theirs.shape == (2, *shape[:1], 3, *shape[1:])
    # a random autoencoder's films are grey: what is compared must not be
    assert theirs.std() > 0.01
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_latents_are_those_of_the_pipeline(tiny: ModelScope) -> None:
    start = noise(tiny, SHAPE)
    theirs = tiny.plain()(
        prompt=PROMPTS, latents=start, num_inference_steps=5, guidance_scale=3.0, output_type="latent"
    ).frames
    told = Words(tiny.embed(PROMPTS), tiny.embed(["", ""]))
    with torch.no_grad():
        ours = walk(tiny, start, tiny.levels(5, SHAPE), told, Guidance(3.0))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_what_the_scheduler_says_is_predicted_is_believed(kind: str) -> None:
    parts = ModelScope.tiny_parts("")
    parts["scheduler"].register_to_config(prediction_type=kind)
    backbone = ModelScope(**parts)
    start = noise(backbone, SHAPE)
    theirs = backbone.plain()(
        prompt=PROMPTS, latents=start, num_inference_steps=4, guidance_scale=3.0, output_type="pt"
    ).frames
    torch.testing.assert_close(
        generate(backbone, PROMPTS, steps=4, guidance=3.0, noise=start, shape=SHAPE), theirs, atol=1e-4, rtol=0
    )


def test_a_folder_of_the_pipeline_is_loaded_part_by_part_and_in_silence(
    tiny: ModelScope, saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert {path.name for path in saved.iterdir()} >= {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}
    loaded = create_backbone("modelscope", saved, device="cpu")
    assert capfd.readouterr() == ("", "")
    start = noise(tiny, SHAPE)
    made = [generate(one, PROMPTS, steps=2, noise=start, shape=SHAPE) for one in (tiny, loaded)]
    assert torch.equal(*made)
    for part in (loaded.unet, loaded.text_encoder, loaded.vae):  # type: ignore[attr-defined]
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())


def test_another_solver_in_the_folder_does_not_change_the_walk(tiny: ModelScope, copy: Path) -> None:
    DPMSolverMultistepScheduler.from_config(tiny.scheduler.config).save_pretrained(copy / "scheduler")
    levels = ModelScope.load(str(copy), torch.float32).levels(20, SHAPE)
    for ours, theirs in zip(vars(levels).values(), vars(tiny.levels(20, SHAPE)).values(), strict=True):
        assert torch.equal(ours, theirs)


def test_half_precision_is_asked_for_and_films_stay_near(tiny: ModelScope, saved: Path) -> None:
    low = ModelScope.load(str(saved), torch.bfloat16)
    assert {part.dtype for part in (low.unet, low.text_encoder, low.vae)} == {torch.bfloat16}
    start = noise(tiny, SHAPE)
    films = generate(low, PROMPTS, steps=2, guidance=1.0, noise=start, shape=SHAPE)
    assert films.dtype == torch.float32
    # 8 bits of mantissa through an autoencoder
    torch.testing.assert_close(
        films, generate(tiny, PROMPTS, steps=2, guidance=1.0, noise=start, shape=SHAPE), atol=0.05, rtol=0
    )


def test_chosen_frames_are_those_of_the_whole_film_each_of_its_own(tiny: ModelScope) -> None:
    latents = noise(tiny, FilmShape(20, 24, 40))
    frames = torch.tensor([[0, 19, 5], [7, 7, 1]])
    with torch.no_grad():
        whole, some = tiny.decode(latents), tiny.decode(latents, frames)
    assert whole.shape == (2, 20, 3, 24, 40)
    assert some.shape == (2, 3, 3, 24, 40)
    for film in range(2):
        # convolutions of another batch size add up in another order
        torch.testing.assert_close(some[film], whole[film][frames[film]], atol=1e-5, rtol=0)


def test_gradient_reaches_the_latents_of_chosen_frames_alone(tiny: ModelScope) -> None:
    latents = noise(tiny, SHAPE).requires_grad_()
    tiny.decode(latents, torch.tensor([[2], [0]])).pow(2).sum().backward()
    assert latents.grad is not None
    reached = latents.grad.abs().amax(dim=(1, 3, 4)) > 0
    assert reached.tolist() == [[False, False, True], [True, False, False]]


def test_films_become_latents_frame_by_frame_as_in_diffusers(tiny: ModelScope) -> None:
    video = torch.rand(2, 20, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    latents = tiny.encode(video)
    assert latents.shape == (2, *tiny.latent_shape(FilmShape(20, 24, 40))) == (2, 4, 20, 6, 10)
    assert not latents.requires_grad
    with torch.no_grad():
        frame = tiny.vae.encode(video[1, 17:18] * 2 - 1).latent_dist.mode() * tiny.vae.config.scaling_factor
    torch.testing.assert_close(latents[1, :, 17], frame[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(latents, tiny.encode(video)), "the mean, not a draw"


def test_each_prompt_is_embedded_by_itself_and_the_denoiser_listens(tiny: ModelScope) -> None:
    both, alone = tiny.embed(PROMPTS), tiny.embed(PROMPTS[1:])
    torch.testing.assert_close(both["encoder_hidden_states"][1:], alone["encoder_hidden_states"], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(both["encoder_hidden_states"][0], both["encoder_hidden_states"][1], atol=1e-2)
    start = noise(tiny, SHAPE, batch=1).expand(2, -1, -1, -1, -1)
    films = generate(tiny, PROMPTS, steps=2, noise=start, shape=SHAPE)
    assert not torch.allclose(films[0], films[1], atol=1e-3)


def test_a_prompt_longer_than_the_text_tower_is_cut_and_says_so_once(tiny: ModelScope) -> None:
    """Every letter of the tiny tokenizer is a token; two more mark the ends."""
    fits, long, longer = "a" * 75, "a" * 76, "a" * 100
    assert tiny.embed([fits])["encoder_hidden_states"].shape == (1, 77, 32)
    with pytest.warns(UserWarning, match="modelscope reads 77 of the ") as told:
        embedded = tiny.embed([long, fits, longer, long])["encoder_hidden_states"]
    assert [str(warning.message) for warning in told] == [
        f"modelscope reads 77 of the {count} tokens of {prompt!r}: shorten it, or say first what matters"
        for count, prompt in ((78, long), (102, longer))
    ]
    assert embedded.shape == (4, 77, 32)
    torch.testing.assert_close(embedded[0], embedded[2], atol=1e-6, rtol=1e-5)


def test_python_shows_the_warning_of_a_long_prompt_once(tiny: ModelScope) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for prompt in ("c" * 76, "c" * 76, "d" * 76):
            tiny.embed([prompt])
    assert len(told) == 2


@pytest.mark.parametrize("shape", [(0, 32, 32), (3, 30, 32), (3, 32, 30), (3, 0, 32), (3, 32, -4)])
def test_sizes_that_cannot_be_made_are_refused(tiny: ModelScope, shape: tuple[int, int, int]) -> None:
    frames, height, width = shape
    message = "modelscope makes films of 1 frame or more whose sides are multiples of 4: got "
    with pytest.raises(BadInputError) as caught:
        generate(tiny, PROMPTS, shape=FilmShape(*shape))
    assert str(caught.value) == f"{message}{frames} of {height} by {width}"
    if min(shape) > 0:
        with pytest.raises(BadInputError, match=message):
            tiny.encode(torch.rand(1, frames, 3, height, width))


def test_a_lora_has_the_size_of_instructvideos_in_the_published_unet(tiny: ModelScope) -> None:
    """Counted in ali-vilab/VGen@4014d1f: 264 pairs, 1,661,440 parameters. Without memory for any of them."""

    class Published(ModelScope):
        def __init__(self) -> None:
            with torch.device("meta"):
                self._parts = {"unet": UNet3DConditionModel()}  # whose defaults are ModelScope's

    backbone = Published()
    assert backbone.networks()["unet"].config.block_out_channels == (320, 640, 1280, 1280)
    weights = add_lora(backbone, LoraSettings(rank=4))
    assert len(weights) == 528
    assert sum(weight.numel() for weight in weights.values()) == 1_661_440
    assert sum(".transformer_in." in name or ".temp_attentions." in name for name in weights) == 17 * 16


def test_a_lora_is_saved_and_gives_the_same_film(tmp_path: Path) -> None:
    backbone, other = ModelScope.tiny(), ModelScope.tiny()
    settings = LoraSettings(rank=2, alpha=5.0)
    random = torch.Generator().manual_seed(0)
    for weight in add_lora(backbone, settings).values():
        weight.data = 0.2 * torch.randn(weight.shape, generator=random)
    save_lora(backbone, settings, tmp_path, {})
    load_lora(other, tmp_path)
    start = noise(backbone, SHAPE, batch=1)
    films = [generate(one, PROMPTS[:1], steps=2, noise=start, shape=SHAPE) for one in (backbone, other)]
    assert torch.equal(*films)
    assert not torch.allclose(
        films[0], generate(backbone, PROMPTS[:1], steps=2, noise=start, shape=SHAPE, lora_strength=0.0), atol=1e-3
    )
    with pytest.raises(BadCheckpointError, match="is a LoRA of modelscope, not of miniworld"):
        load_lora(MiniWorld.tiny(), tmp_path)


def spoil_index(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "WanPipeline"}))


def no_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def no_json(folder: Path) -> None:
    (folder / "model_index.json").write_text("<html>")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_index, "modelscope takes a TextToVideoSDPipeline: {} is a WanPipeline, which wan can load"),
        (no_index, "modelscope: {} is not in the layout of diffusers: it has no readable model_index.json"),
        (no_json, "modelscope: {} is not in the layout of diffusers: it has no readable model_index.json"),
    ],
)
def test_a_folder_of_another_kind_is_refused(copy: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(copy)
    with pytest.raises(UsageError) as caught:
        create_backbone("modelscope", copy, device="cpu")
    assert str(caught.value) == message.format(copy)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def without_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path, metadata={"format": "pt"})


def with_another_shape(path: Path) -> None:
    tensors = load_file(path)
    tensors[sorted(tensors)[0]] = torch.zeros(3, 5)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("spoil", [cut, without_a_tensor, with_another_shape, Path.unlink])
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_are_not_whole_are_refused_and_never_drawn(
    copy: Path, spoil: Callable[[Path], None], part: str
) -> None:
    spoil(next((copy / part).glob("*.safetensors")))
    with pytest.raises(BadCheckpointError, match=rf"^modelscope[^\n]* {part} of {copy}[^\n]*$"):
        create_backbone("modelscope", copy, device="cpu")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_part_that_is_not_there_is_named(copy: Path, part: str) -> None:
    shutil.rmtree(copy / part)
    with pytest.raises(BadCheckpointError, match=rf"^modelscope[^\n]* {part} of {copy}[^\n]*$"):
        create_backbone("modelscope", copy, device="cpu")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^modelscope: no such folder: {tmp_path}/nowhere$"):
        create_backbone("modelscope", tmp_path / "nowhere", device="cpu")


@pytest.mark.usefixtures("offline")
def test_a_hub_model_that_cannot_be_fetched_is_named() -> None:
    with pytest.raises(MissingWeightsError, match=r"^modelscope needs someone/films, which is not on this machine and"):
        create_backbone("modelscope", "someone/films", device="cpu")


@pytest.mark.usefixtures("offline")
def test_a_hub_model_in_the_cache_is_loaded_without_a_network(saved: Path, tmp_path: Path) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "hub" / "models--someone--films"
    shutil.copytree(saved, place / "snapshots" / revision)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(revision)
    assert create_backbone("modelscope", "someone/films", device="cpu").default_shape == (16, 32, 32)


def test_a_published_autoencoder_of_the_old_kind_is_read(copy: Path) -> None:
    """ModelScope's was saved when diffusers called its attention query, key, value and proj_attn."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    path = copy / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = {}
    for name, tensor in load_file(path).items():
        for new, former in old.items():
            name = name.replace(f".{new}.", f".{former}.") if ".attentions." in name else name
        tensors[name] = tensor
    assert any(".query." in name for name in tensors)
    save_file(tensors, path, metadata={"format": "pt"})
    loaded = ModelScope.load(str(copy), torch.float32)
    current = AutoencoderKL.from_config(loaded.vae.config)
    assert loaded.vae.state_dict().keys() == current.state_dict().keys()
