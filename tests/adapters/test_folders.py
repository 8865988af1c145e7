"""Folders in the layout of each pipeline: loaded as they are, and refused in one sentence where they cannot be."""

from __future__ import annotations

import json
import shutil
import warnings
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    MotionAdapter,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)

from rewardkit.engine.create import create_backbone
from rewardkit.engine.generate import generate
from rewardkit.engine.generator import FilmShape, Level
from rewardkit.errors import BadCheckpointError, BadInputError, UsageError
from rewardkit_adapters.backbone import Backbone
from tests.adapters.backbones import CASES, NAMES, PROMPTS, film_of_pipeline, kind_of, noise, tiny

FLOWS = [name for name in NAMES if kind_of(name).flow]


@cache
def folder_of(name: str, kind: str) -> Path:
    """As the pipeline saves itself; not to be changed."""
    folder = Path(mkdtemp())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny(name, kind).plain().save_pretrained(folder)
    return folder


def copy_of(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(folder_of(name, kind_of(name).kinds[0]), folder / "model"))


def entries(folder: Path, **changes: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_folder_gives_the_same_films(name: str, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(name, kind)
    capfd.readouterr()
    loaded = create_backbone(name, folder, device="cpu")
    assert capfd.readouterr() == ("", "")
    made = tiny(name, kind)
    start = noise(made, made.tiny_shape)
    films = [generate(one, PROMPTS, steps=2, noise=start, shape=made.tiny_shape) for one in (made, loaded)]
    assert torch.equal(*films)
    assert isinstance(loaded, Backbone)
    for network in loaded.networks().values():
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())


def test_wan_with_the_solver_that_it_ships_is_walked_by_the_solvers_levels(tmp_path: Path) -> None:
    folder = copy_of("wan", tmp_path)
    solver = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    solver.save_pretrained(folder / "scheduler")
    solver.set_timesteps(5)
    levels = create_backbone("wan", folder, device="cpu").levels(5, FilmShape(9, 32, 64))
    assert torch.equal(levels.timestep, solver.timesteps.float())
    assert torch.equal(levels.noise, solver.sigmas[:-1].float())


def test_a_tokenizer_as_t5s_are_published_is_read(tmp_path: Path) -> None:
    """A sentencepiece model, and no tokenizer.json."""
    folder = copy_of("cogvideox", tmp_path)
    (tmp_path / "text.txt").write_text("\n".join(PROMPTS * 20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of swig's types
        import sentencepiece
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "spiece"), vocab_size=20, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    shutil.copy(tmp_path / "spiece.model", folder / "tokenizer" / "spiece.model")
    words = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 226}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(words))
    loaded = create_backbone("cogvideox", folder, device="cpu")
    assert isinstance(loaded, Backbone)
    own = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    assert loaded.tokenizer(PROMPTS[0]).input_ids == [*own.encode(PROMPTS[0]), 1]
    assert loaded.embed(PROMPTS)["encoder_hidden_states"].shape == (2, 226, 32)


def test_stable_diffusion_and_motion_modules_are_animatediff(tmp_path: Path) -> None:
    made = tiny("animatediff", "")
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, norm_num_groups=8,
        cross_attention_dim=32, attention_head_dim=2,
    )  # fmt: skip
    base = StableDiffusionPipeline(
        made.vae, made.text_encoder, made.tokenizer, unet, made.scheduler, None, None, requires_safety_checker=False
    )
    base.save_pretrained(tmp_path / "base")
    motion = MotionAdapter(
        block_out_channels=(16, 32), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=8
    )
    motion.save_pretrained(tmp_path / "motion")
    loaded = create_backbone("animatediff", f"{tmp_path}/base+{tmp_path}/motion", device="cpu")
    assert isinstance(loaded, Backbone)
    names = set(loaded.denoisers()["unet"].state_dict())
    assert any("motion_modules" in name for name in names)
    assert loaded.scheduler.config.beta_schedule == "linear"
    start = noise(loaded, made.tiny_shape)
    theirs = film_of_pipeline(loaded.plain(), "animatediff", start, made.tiny_shape)
    ours = generate(loaded, PROMPTS, steps=5, guidance=3.0, noise=start, shape=made.tiny_shape)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match=r"takes an AnimateDiffPipeline: .* is a StableDiffusionPipeline"):
        create_backbone("animatediff", tmp_path / "base", device="cpu")


def test_a_schedule_whose_steps_do_not_meet_is_walked_as_diffusers_walks_it() -> None:
    made = kind_of("animatediff").tiny()
    changed = DDIMScheduler.from_config(made.scheduler.config, timestep_spacing="linspace")
    made.scheduler = made._parts["scheduler"] = changed
    start = noise(made, made.tiny_shape)
    theirs = film_of_pipeline(made.plain(), "animatediff", start, made.tiny_shape)
    ours = generate(made, PROMPTS, steps=5, guidance=3.0, noise=start, shape=made.tiny_shape)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_another_pipeline_is_refused_with_what_can_load_it(name: str, tmp_path: Path) -> None:
    folder = copy_of(name, tmp_path)
    other = "latte" if name != "latte" else "ltx"
    entries(folder, _class_name=kind_of(other).pipeline)
    with pytest.raises(UsageError) as caught:
        create_backbone(name, folder, device="cpu")
    wanted, found = kind_of(name).pipeline, kind_of(other).pipeline
    message = str(caught.value).replace(" an ", " a ")
    assert message == f"{name} takes a {wanted}: {folder} is a {found}, which {other} can load"


def test_an_unknown_pipeline_is_refused_with_the_list_of_what_is_known(tmp_path: Path) -> None:
    folder = copy_of("wan", tmp_path)
    entries(folder, _class_name="AllegroPipeline")
    with pytest.raises(UsageError) as caught:
        create_backbone("wan", folder, device="cpu")
    message = str(caught.value)
    assert message.startswith(f"wan takes a WanPipeline: {folder} is an AllegroPipeline. Known are animatediff (Anim")
    assert all(f"{name} ({kind_of(name).pipeline})" in message for name in NAMES)
    assert message.endswith("adapters/README.md shows how to write another")
    assert "\n" not in message


@pytest.mark.parametrize("name", NAMES)
def test_a_part_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    for part in [*kind_of(name).parts, "tokenizer", "scheduler"]:
        folder = copy_of(name, tmp_path / part)
        shutil.rmtree(folder / part)
        with pytest.raises(BadCheckpointError, match=rf"^{name}[^\n]* {part} of {folder}[^\n]*$"):
            create_backbone(name, folder, device="cpu")
        entries(folder, **{part: [None, None]})
        if part not in ("tokenizer", "scheduler"):
            with pytest.raises(UsageError, match=rf"^{name} needs an? \w+ as {part}: {folder} has none$"):
                create_backbone(name, folder, device="cpu")


def test_a_part_of_another_class_is_named(tmp_path: Path) -> None:
    folder = copy_of("latte", tmp_path)
    entries(folder, vae=["diffusers", AutoencoderKLTemporalDecoder.__name__])
    message = rf"^latte needs an AutoencoderKL as vae: {folder} has AutoencoderKLTemporalDecoder$"
    with pytest.raises(UsageError, match=message):
        create_backbone("latte", folder, device="cpu")


@pytest.mark.parametrize("name", NAMES)
def test_a_scheduler_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    folder = copy_of(name, tmp_path)
    wrong = DDIMScheduler() if name in FLOWS else FlowMatchEulerDiscreteScheduler()
    wrong.save_pretrained(folder / "scheduler")
    with pytest.raises(
        UsageError, match=rf"^{name} needs [^\n]*: the scheduler of {folder} is {type(wrong).__name__}$"
    ):
        create_backbone(name, folder, device="cpu")


def test_mochi_needs_levels_that_count_up(tmp_path: Path) -> None:
    folder = copy_of("mochi", tmp_path)
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    with pytest.raises(UsageError, match=r"^mochi counts up to the film and needs invert_sigmas, which its FlowMatch"):
        create_backbone("mochi", folder, device="cpu")


IMPOSSIBLE: dict[str, tuple[FilmShape, str]] = {
    "animatediff": (FilmShape(33, 32, 32), "makes films of 1 to 32 frames: got 33"),
    "cogvideox": (FilmShape(13, 32, 48), "of 1, 9, 17, ... frames whose sides are multiples of 8: got 13 of 32 by 48"),
    "hunyuanvideo": (FilmShape(9, 32, 40), "of 1, 5, 9, ... frames whose sides are multiples of 16: got 9 of 32 by 40"),
    "latte": (FilmShape(16, 32, 32), "makes films of 1 or 25 frames: got 16"),
    "ltx": (FilmShape(10, 32, 64), "of 1, 9, 17, ... frames whose sides are multiples of 32: got 10 of 32 by 64"),
    "mochi": (FilmShape(9, 32, 48), "of 1, 7, 13, ... frames whose sides are multiples of 16: got 9 of 32 by 48"),
    "modelscope": (FilmShape(4, 30, 32), "of 1 frame or more whose sides are multiples of 4: got 4 of 30 by 32"),
    "wan": (FilmShape(8, 32, 64), "of 1, 5, 9, ... frames whose sides are multiples of 16: got 8 of 32 by 64"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_film_that_cannot_be_made_is_refused(name: str) -> None:
    shape, message = IMPOSSIBLE[name]
    backbone = tiny(name, kind_of(name).kinds[0])
    for do in (
        lambda: generate(backbone, PROMPTS, shape=shape),
        lambda: backbone.encode(torch.rand(1, shape.frames, 3, *shape[1:])),
    ):
        with pytest.raises(BadInputError) as caught:
            do()
        assert str(caught.value).startswith(name)
        assert str(caught.value).endswith(message)


def test_cogvideox_1_5_knows_no_place_beyond_its_own_sides() -> None:
    with pytest.raises(BadInputError, match=r"^this cogvideox makes films of 32 by 64 at most: got 32 by 72$"):
        tiny("cogvideox", "1.5").latent_shape(FilmShape(9, 32, 72))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_each_prompt_is_read_by_itself(name: str, kind: str) -> None:
    backbone = tiny(name, kind)
    several = backbone.embed(["", PROMPTS[0], PROMPTS[1], ""])
    for row, prompt in enumerate(["", PROMPTS[0], PROMPTS[1], ""]):
        for part, alone in backbone.embed([prompt]).items():
            torch.testing.assert_close(several[part][row], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_that_is_not_read_to_its_end_is_told_once(name: str) -> None:
    backbone = kind_of(name).tiny(kind_of(name).kinds[0])
    long = "b c " * 300
    with pytest.warns(
        UserWarning, match=f"^{name} reads {backbone.prompt_tokens} of the [0-9]+ tokens of 'b c"
    ) as told:
        backbone.embed([long, "a cat", long])
    backbone.embed([long])  # a second warning would be an error here
    assert len(told) == 1


def test_wans_experts_share_the_walk_at_the_boundary_each_with_its_scale() -> None:
    wan = tiny("wan", "2.2-a14b")
    first = wan.denoisers()["transformer"]

    def at(timestep: float) -> Level:
        return Level(torch.tensor(timestep), torch.tensor(0.5), torch.tensor(0.5))

    assert [wan.denoiser_at(at(t)) is first for t in (1000.0, 875.0, 874.9, 1.0)] == [True, True, False, False]
    assert [wan.guidance_at(at(t)) for t in (875.0, 874.0)] == [4.0, 3.0]
    assert tiny("wan", "2.1").guidance_at(at(1.0)) == 5.0
    shape = wan.tiny_shape
    start = noise(wan, shape)
    own = generate(wan, PROMPTS, steps=4, noise=start, shape=shape)
    pipeline = wan.plain()
    theirs = pipeline(
        PROMPTS, height=shape.height, width=shape.width, num_frames=shape.frames, num_inference_steps=4,
        guidance_scale=4.0, guidance_scale_2=3.0, latents=start, output_type="pt",
    ).frames  # fmt: skip
    torch.testing.assert_close(own, theirs, atol=1e-4, rtol=0)
