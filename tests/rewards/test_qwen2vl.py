"""HPSv3 and VideoReward, tiny, against what their official code gave; and what else a judge on Qwen2-VL promises.

Even a tiny one reads a thousand tokens, half a second a picture: the full comparison is slow.
"""

import dataclasses
import functools
import json
import tempfile
from pathlib import Path

import pytest
import torch
from learned import golden, model, ours
from torch import Tensor, nn

from rewardkit import conformance
from rewardkit.errors import BadCheckpointError, BadInputError
from rewardkit.registry import REWARDS
from rewardkit.rewards.hpsv3 import HPSV3, HpsV3, ranknet
from rewardkit.rewards.interface import FrozenModel
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.qwen2vl import Qwen2VLArchitecture, Qwen2VLTower, merged
from rewardkit.rewards.towers.qwen2vl_input import IMAGE, Tiles, patches
from rewardkit.rewards.videoreward import HumanFeedback
from rewardkit.weights.filling import parameters_on_meta
from rewardkit.weights.stored import in_memory

PROMPTS = list(ours.PROMPTS)
EXACT = 1e-5  # float32 sums in another order
DIFF = 0.02  # of scores that spread over 0.5: Pillow rounds and clips after each pass, floats do not
each_model = pytest.mark.parametrize("name", ours.LANGUAGE_MODELS)


@functools.cache
def part(name: str) -> HumanFeedback:
    """`videoreward-vq` and the like, from the files of the golden file; all with one set of weights."""
    content, release = golden.read("videoreward"), REWARDS.load(name)
    assert isinstance(release, Release)
    check = ours.CHECKS["videoreward"]
    sizes = {"architecture": check.sizes(content["architecture"])}
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        files = {"checkpoint": golden.save(content["files"]["checkpoint"], folder / "model.pth")}
        files |= check.others(folder, content["architecture"])
        loaded = dataclasses.replace(release, defaults={**release.defaults, **sizes}).load(ours.CPU, files)
    assert isinstance(loaded, HumanFeedback)
    loaded.freeze()
    return loaded


def shown(name: str, which: str) -> Tensor:
    """A picture for HPSv3, a clip for VideoReward, as a batch of one."""
    return ours.item(which, moving=name != "hpsv3")[None]


def score(reward: FrozenModel, pixels: Tensor, prompts: list[str]) -> Tensor:
    with torch.no_grad():
        scores: Tensor = reward(pixels, prompts)
    return scores


@pytest.fixture
def hpsv3() -> HpsV3:
    reward = model("hpsv3")
    assert isinstance(reward, HpsV3)
    return reward


@each_model
@pytest.mark.parametrize("which", ["square", "tall"])
def test_exact_scores_are_the_official_ones(name: str, which: str) -> None:
    official = torch.tensor(golden.read(name)["scores"][which][:2])
    found = score(model(name, "exact"), shown(name, which).expand(2, *shown(name, which).shape[1:]), PROMPTS[:2])
    assert (found - official).abs().max() <= EXACT


@pytest.mark.slow
@each_model
@pytest.mark.parametrize(("way", "bound"), [("exact", EXACT), ("diff", DIFF)])
def test_all_scores_are_the_official_ones(name: str, way: str, bound: float) -> None:
    assert way in ("exact", "diff")
    assert ours.difference(name, model(name), "exact" if way == "exact" else "diff") <= bound


@each_model
def test_diff_scores_are_near_the_official_ones(name: str) -> None:
    official = golden.read(name)["scores"]["square"][1]
    assert abs(score(model(name, "diff"), shown(name, "square"), PROMPTS[1:2]).item() - official) <= DIFF


@pytest.mark.parametrize("name", ["vq", "mq", "ta"])
def test_parts_of_videoreward_are_the_official_ones(name: str) -> None:
    official = golden.read("videoreward")["parts"]["norm"][name.upper()]["square"][4]
    found = score(part(f"videoreward-{name}"), shown("videoreward", "square"), PROMPTS[4:])
    assert abs(found.item() - official) <= EXACT


def test_videoreward_of_fewer_frames_is_the_official_one() -> None:
    """Of the 8 frames of a film of two seconds the official code reads these four."""
    official = golden.read("videoreward")["parts"]["norm_of_frames_0_2_5_7"]["Overall"]["square"][0]
    found = score(part("videoreward"), shown("videoreward", "square")[:, [0, 2, 5, 7]], PROMPTS[:1])
    assert abs(found.item() - official) <= EXACT


def test_an_odd_film_has_its_last_frame_twice() -> None:
    film, reward = shown("videoreward", "square"), part("videoreward-vq")
    torch.testing.assert_close(score(reward, film[:, :3], [""]), score(reward, film[:, [0, 1, 2, 2]], [""]))


@each_model
def test_tokens_and_pixels_are_the_official_ones_bit_for_bit(name: str) -> None:
    reward, official = model(name, "exact"), golden.read(name)["trace"]
    assert isinstance(reward, HpsV3 | HumanFeedback)
    reading = reward.script([PROMPTS[official["prompt"]]], torch.device("cpu"))
    time, rows, columns = official["grid"]
    pads = [reward.script.shown] * (time * rows * columns // 4)
    ids = [*reading.before.tolist(), *pads, *reading.after[0].tolist()]
    assert ids == official["input_ids"][: len(ids)]
    assert reading.marks[-1] not in official["input_ids"][len(ids) :]
    assert reward.preprocessing is not None
    film = shown(name, official.get("picture") or official["clip"])
    film = film.expand(2, -1, -1, -1)[None] if name == "hpsv3" else film
    cut = patches(reward.preprocessing("test", film[0])[None])
    assert list(cut.shape) == official["pixel_shape"]
    assert torch.equal(cut[len(cut) // 2, ::97], torch.tensor(official["pixel_row"]))
    torch.testing.assert_close([cut.mean().item(), cut.std().item()], [official["pixel_mean"], official["pixel_std"]])


@pytest.mark.parametrize(("name", "tiles"), [("hpsv3", (200704, 200704)), ("videoreward", (100352, 200704))])
def test_sides_are_the_official_ones(name: str, tiles: tuple[int, int]) -> None:
    for height, width, rows, columns in golden.read(name)["sides"]:
        assert Tiles(*tiles, "torch").sides(height, width) == (rows, columns)
    with pytest.raises(BadInputError, match="up to 200:1: got 201x1"):
        Tiles(*tiles, "torch").sides(1, 201)


def test_patches_are_cut_as_a_loop_cuts_them() -> None:
    film = torch.rand(2, 4, 3, 28, 56)
    expected = [
        film[f, 2 * t : 2 * t + 2, :, y : y + 14, x : x + 14].transpose(0, 1).flatten()
        for f in range(2)
        for t in range(2)
        for tile in range(2)
        for y in (0, 14)
        for x in (28 * tile, 28 * tile + 14)
    ]
    assert torch.equal(patches(film), torch.stack(expected))


def test_with_positions_by_row_and_column_the_scores_are_others(hpsv3: HpsV3) -> None:
    """What Qwen2-VL itself counts, and what our model would count if it were not told otherwise."""
    picture, official = shown("hpsv3", "tall"), golden.read("hpsv3")["scores"]["tall"][0]
    qwen = hpsv3.judge.tower.model

    def by_place(_: object, args: tuple[object, ...], given: dict[str, Tensor]) -> tuple[object, dict[str, Tensor]]:
        reading = hpsv3.script(PROMPTS[:1], torch.device("cpu"))
        pads = given["inputs_embeds"].shape[1] - len(reading.before) - reading.after.shape[1]
        ids = torch.cat([reading.before, torch.full((pads,), hpsv3.script.shown), reading.after[0]])[None]
        grid = torch.tensor([golden.read("hpsv3")["trace"]["grid"]])
        kinds = (ids == hpsv3.script.shown).int()
        positions, _ = qwen.get_rope_index(ids, kinds, image_grid_thw=grid)
        return args, {**given, "position_ids": positions}

    hook = qwen.language_model.register_forward_pre_hook(by_place, with_kwargs=True)
    other = score(hpsv3, picture, PROMPTS[:1]).item()
    hook.remove()
    assert abs(score(hpsv3, picture, PROMPTS[:1]).item() - official) <= EXACT
    assert abs(other - official) > 100 * EXACT


@each_model
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    reward = model(name, "diff", dtype=torch.float64)
    pixels = (0.3 + 0.4 * shown(name, "square")[..., :56, :84].double()).requires_grad_()
    (gradient,) = torch.autograd.grad(reward(pixels, PROMPTS[:1]).sum(), pixels)
    generator = torch.Generator().manual_seed(3)
    for _ in range(2):
        direction = gradient.sign() * torch.rand(pixels.shape, dtype=torch.float64, generator=generator)
        step = 1e-4  # wide: norms of transformers compute in float32 whatever they are given
        ahead, behind = (score(reward, (pixels + way * step * direction).detach(), PROMPTS[:1]) for way in (1, -1))
        torch.testing.assert_close((gradient * direction).sum(), (ahead - behind).sum() / (2 * step), rtol=5e-3, atol=0)


@each_model
def test_gradient_reaches_every_pixel_and_no_weight(name: str) -> None:
    reward = model(name)
    pixels = shown(name, "square")[..., :61, :100].clone().requires_grad_()
    reward(pixels, PROMPTS[:1]).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()
    assert (pixels.grad != 0).flatten(0, -3).any(0).all()
    assert all(weight.grad is None and not weight.requires_grad for weight in reward.parameters())


@each_model
def test_scores_do_not_depend_on_batch_mates(name: str) -> None:
    """Prompts of other lengths, so that all but the longest are padded."""
    reward = model(name)
    pixels = torch.cat([shown(name, "square"), shown(name, "square").flip(-1)])[..., :96, :128]
    prompts = [PROMPTS[3], PROMPTS[0]]
    alone = torch.cat([score(reward, pixels[i : i + 1], prompts[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(score(reward, pixels, prompts), alone, rtol=1e-5, atol=1e-5)


@each_model
def test_long_prompts_are_read_to_their_end(name: str) -> None:
    reward, long = model(name), " ".join(["a boat and a dog"] * 60)
    assert not reward.truncates(long)
    assert reward.card.max_prompt_tokens is None
    pixels = shown(name, "square")[..., :56, :84]
    assert score(reward, pixels, [long + " red"]) != score(reward, pixels, [long + " blue"])


@each_model
@pytest.mark.parametrize("token", ["<|Reward|>", "<|TA_reward|>", IMAGE])
def test_tokens_of_the_instruction_are_refused_in_prompts(name: str, token: str) -> None:
    reward = model(name)
    assert isinstance(reward, HpsV3 | HumanFeedback)
    if token in reward.script.reserved:
        with pytest.raises(BadInputError, match=r"keeps <\|.*\|> to itself"):
            score(reward, shown(name, "square"), [f"a cat {token}"])


@pytest.mark.parametrize("name", ["videoreward-vq", "videoreward-mq"])
def test_look_and_motion_do_not_depend_on_the_prompt(name: str) -> None:
    """In the official scores too: the instruction has the prompt after them."""
    official = torch.tensor(golden.read("videoreward")["parts"]["norm"][name[-2:].upper()]["tall"])
    assert (official - official[0]).abs().max() < 1e-6
    assert not REWARDS.load(name).card.needs_prompt  # type: ignore[attr-defined]
    film = shown("videoreward", "square")[:, :2]
    with torch.no_grad():
        assert torch.equal(part(name)(film), score(part(name), film, ["a cat"]))


def test_all_videorewards_have_one_set_of_weights() -> None:
    assert part("videoreward").judge is part("videoreward-vq").judge is part("videoreward-ta").judge


def test_cast_models_keep_the_angles_of_their_positions(hpsv3: HpsV3) -> None:
    """bfloat16 cannot tell position 1001 from 1002."""
    exact = dict(hpsv3.judge.tower.named_buffers())
    cast = model("hpsv3", dtype=torch.bfloat16)
    assert isinstance(cast, HpsV3)
    assert all(torch.equal(exact[name], kept) for name, kept in cast.judge.tower.named_buffers())
    near = score(cast, shown("hpsv3", "square"), PROMPTS[:1])
    assert near.dtype == torch.float32
    assert abs(near.item() - golden.read("hpsv3")["scores"]["square"][0]) < 0.02  # half a percent of the states


@each_model
def test_exact_pixels_with_gradient_are_refused(name: str) -> None:
    with pytest.raises(BadInputError, match="preprocess=exact has no gradient"):
        model(name, "exact")(shown(name, "square").requires_grad_(), PROMPTS[:1])


@pytest.mark.slow
@each_model
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_language_models_conform(name: str, check: object) -> None:
    assert callable(check)
    check(model(name, dtype=torch.float32))


@pytest.mark.parametrize(
    ("name", "head"), [("hpsv3", ranknet(3584)), ("videoreward", nn.Linear(1536, 3, bias=False))], ids=lambda given: ""
)
def test_the_number_of_weights_is_counted(name: str, head: nn.Module) -> None:
    """The size of HPSv3.safetensors bears it out: 2 bytes each for these and the language head, and a header."""
    release = REWARDS.load(name)
    assert isinstance(release, Release)
    sizes, words = release.defaults["architecture"], {"hpsv3": 151658, "videoreward": 151660}[name]
    assert isinstance(sizes, Qwen2VLArchitecture)
    with parameters_on_meta():
        modules = [Qwen2VLTower(sizes, words), head]
    count = sum(weight.numel() for module in modules for weight in module.parameters())
    assert count == release.card.parameters
    if name == "hpsv3":
        published = release.files["checkpoint"].size
        assert published is not None
        assert 0 < published - 2 * (count + words * sizes.width) < 100_000


def test_lora_is_dissolved_in_the_weights() -> None:
    base, down, up, other = torch.rand(5, 3), torch.rand(2, 3), torch.rand(5, 2), torch.rand(4)
    top = "base_model.model.model.layers.0.q_proj"
    found = merged(
        {
            f"{top}.base_layer.weight": in_memory(base.bfloat16()),
            f"{top}.lora_A.default.weight": in_memory(down),
            f"{top}.lora_B.default.weight": in_memory(up),
            "base_model.model.rm_head.weight": in_memory(other),
        },
        scale=2.0,
    )
    assert sorted(found) == ["model.layers.0.q_proj.weight", "rm_head.weight"]
    torch.testing.assert_close(
        found["model.layers.0.q_proj.weight"].read(), base.bfloat16() + 2 * torch.einsum("or,ri->oi", up, down)
    )
    assert torch.equal(found["rm_head.weight"].read(), other)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    content = golden.read("hpsv3")
    checkpoint = golden.save(content["files"]["checkpoint"], tmp_path / "HPSv3.pt")
    return {"checkpoint": checkpoint, **ours.CHECKS["hpsv3"].others(tmp_path, content["architecture"])}


def load(files: dict[str, Path]) -> object:
    sizes = {"architecture": ours.CHECKS["hpsv3"].sizes(golden.read("hpsv3")["architecture"])}
    return dataclasses.replace(HPSV3, defaults=sizes).load(ours.CPU, files)


def test_a_tokenizer_may_be_given_as_its_folder(files: dict[str, Path]) -> None:
    assert isinstance(load({**files, "tokenizer": files["tokenizer"].parent}), HpsV3)


@pytest.mark.parametrize(("text", "says"), [("{", "cannot read the tokenizer"), (None, r"knows no <\|image_pad\|>")])
def test_another_tokenizer_is_a_clear_error(files: dict[str, Path], text: str | None, says: str) -> None:
    written = json.loads(files["tokenizer"].read_text())
    written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] != IMAGE]
    files["tokenizer"].write_text(json.dumps(written) if text is None else text)
    with pytest.raises(BadCheckpointError, match=says):
        load(files)


def test_weights_for_another_vocabulary_are_a_clear_error(files: dict[str, Path]) -> None:
    written = json.loads(files["tokenizer"].read_text())
    written["added_tokens"].append({**written["added_tokens"][0], "id": 5256, "content": "<|other|>"})
    files["tokenizer"].write_text(json.dumps(written))
    with pytest.raises(BadCheckpointError, match=r"have another shape, such as model\.language_model\.embed_tokens"):
        load(files)


def test_an_adapter_alone_is_a_clear_error(tmp_path: Path) -> None:
    content, release = golden.read("videoreward"), REWARDS.load("videoreward")
    assert isinstance(release, Release)
    check = ours.CHECKS["videoreward"]
    adapter = {key: value for key, value in golden.tensors(content["files"]["checkpoint"]).items() if "lora" in key}
    torch.save(adapter, tmp_path / "adapter.pt")
    given = {"checkpoint": tmp_path / "adapter.pt", **check.others(tmp_path, content["architecture"])}
    sizes = {"architecture": check.sizes(content["architecture"])}
    with pytest.raises(BadCheckpointError, match="are missing"):
        dataclasses.replace(release, defaults={**release.defaults, **sizes}).load(ours.CPU, given)
    given["config"].write_text("{}")
    with pytest.raises(BadCheckpointError, match=r"is not the model_config\.json of videoreward"):
        dataclasses.replace(release, defaults={**release.defaults, **sizes}).load(ours.CPU, given)
