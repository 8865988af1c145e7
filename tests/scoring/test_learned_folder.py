"""A folder scored with a learned reward from a checkpoint of one's own: rows, header, sharing, and what is refused."""

import sys
from pathlib import Path

import pytest
import torch

import rewardkit as rk
from rewardkit.cli import main
from rewardkit.miniworld.clips import write_clips
from rewardkit.registry import REWARDS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "parity"))
import golden

RELEASES = """
import dataclasses

from rewardkit.rewards.aesthetic import AESTHETIC_V1, AESTHETIC_V2
from rewardkit.rewards.hpsv2 import HPSV2_1

SMALL = {hps}
HPS = dataclasses.replace(HPSV2_1, defaults={{"architecture": SMALL}})
LARGE = {clip}
ONE = dataclasses.replace(AESTHETIC_V1, defaults={{"architecture": LARGE}})
TWO = dataclasses.replace(AESTHETIC_V2, defaults={{"architecture": LARGE}})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with prompts, small checkpoints in official layouts, and releases that take them."""
    place = tmp_path_factory.mktemp("learned")
    write_clips(place / "clips", films=1)
    hps, one, two = (golden.read(name) for name in ("hpsv2", "aesthetic_v1", "aesthetic_v2"))
    golden.save(hps["files"]["checkpoint"], place / "hps.pt")
    golden.save(one["files"]["checkpoint"], place / "one.pth")
    golden.save(two["files"]["checkpoint"], place / "two.pth")
    golden.save(one["files"]["backbone"], place / "clip.pt")
    code = RELEASES.format(hps=hps["architecture"], clip=one["architecture"])
    (place / "small.py").write_text(code, encoding="utf-8")
    return place


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_rows_and_header_say_what_was_used(folder: Path) -> None:
    line = "small.py:HPS[checkpoint=hps.pt;frames=uniform:2]"
    prompts = {path.name: f"a film {'of many words ' * 40}" if n == 0 else "a red star" for n, path in _films(folder)}
    table = rk.score_folder("clips", line, prompts=prompts, out=folder / "rows.jsonl")
    rows = list(table)
    assert {row.status for row in rows} == {"ok"}
    assert {row.preprocess for row in rows} == {"exact"}
    assert [row.prompt_truncated for row in rows].count(True) == 1
    assert {row.reward for row in rows} == {"hpsv2.1[frames=uniform:2]"}
    assert list(table.header.weights_sha256) == ["hpsv2.1/checkpoint/hps.pt"]
    direct = rk.create_reward(line, device="cpu")(rk.read_video(rows[1].path)[None], [rows[1].prompt or ""])
    assert rows[1].score == pytest.approx(direct.item(), abs=1e-5)


def _films(folder: Path) -> list[tuple[int, Path]]:
    return list(enumerate(sorted((folder / "clips").glob("*.mp4"))))


def test_the_way_of_preprocessing_can_be_fixed_and_is_other_work(folder: Path) -> None:
    exact = rk.score_folder("clips", "small.py:HPS[checkpoint=hps.pt]", prompt="a star", out=folder / "a.jsonl")
    diff = rk.score_folder(
        "clips", "small.py:HPS[checkpoint=hps.pt;preprocess=diff]", prompt="a star", out=folder / "b.jsonl"
    )
    assert next(iter(diff)).preprocess == "diff"
    assert next(iter(diff)).reward == "hpsv2.1[preprocess=diff]"
    assert exact.header.fingerprint != diff.header.fingerprint


def test_a_moved_checkpoint_is_the_same_work_and_another_one_is_not(folder: Path) -> None:
    first = rk.score_folder("clips", "small.py:HPS[checkpoint=hps.pt]", prompt="a star", out=folder / "c.jsonl")
    (folder / "moved.pt").write_bytes((folder / "hps.pt").read_bytes())
    moved = rk.score_folder("clips", "small.py:HPS[checkpoint=moved.pt]", prompt="a star", out=folder / "d.jsonl")
    assert moved.header.fingerprint == first.header.fingerprint
    assert list(moved.header.weights_sha256) == ["hpsv2.1/checkpoint/moved.pt"]
    content = golden.read("hpsv2")["files"]["checkpoint"]
    golden.save({**content, "gain": 1.1}, folder / "other.pt")
    other = rk.score_folder("clips", "small.py:HPS[checkpoint=other.pt]", prompt="a star", out=folder / "e.jsonl")
    assert other.header.fingerprint != first.header.fingerprint


def test_two_heads_on_one_backbone_hold_it_once() -> None:
    line = "small.py:ONE[checkpoint=one.pth;backbone=clip.pt] + small.py:TWO[checkpoint=two.pth;backbone=clip.pt]"
    one, two = rk.create_reward(line, device="cpu").models()
    assert one.tower is two.tower
    video = torch.rand(1, 8, 3, 40, 50)
    total = rk.create_reward(line, device="cpu")
    assert total(video).item() == pytest.approx(sum(r(video).item() for _, r in total.terms()), rel=1e-5)  # type: ignore[attr-defined]


def test_gradient_flows_through_a_learned_video_reward() -> None:
    reward = rk.create_reward(
        "small.py:HPS[checkpoint=hps.pt]", frames="segments:2", weights="attenuate:1.0", device="cpu"
    )
    plan = reward.plan(8, batch=2, generator=torch.Generator().manual_seed(0))
    frames = torch.rand(2, 2, 3, 40, 50).requires_grad_()
    detail = reward.detail(frames, ["a star", "a disc"], plan=plan)
    assert detail.preprocess == "diff"
    detail.score.sum().backward()
    assert frames.grad is not None
    assert (frames.grad.flatten(2).abs().sum(-1) > 0).all()


def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["rewardkit", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code, capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("checkpoint=one.pth", "one.pth is not a checkpoint of hpsv2.1: of the"),
        (
            "checkpoint=clips/prompts.csv",
            "hpsv2.1 cannot use clips/prompts.csv: expected safetensors or a file of torch.save",
        ),
        (
            "checkpoint=gone.pt",
            "hpsv2.1: no checkpoint at gone.pt; expected HPS_v2.1_compressed.pt (1.97 GB) of xswu/HPSv2@",
        ),
        ("checkpoint=/dev/zero", "hpsv2.1: no checkpoint at /dev/zero; expected HPS_v2.1_compressed.pt"),
        (
            "checkpoint=hps.pt;preprocess=fast",
            "hpsv2.1: preprocess: Input should be 'auto', 'exact' or 'diff', got 'fast'",
        ),
        (
            "chekpoint=hps.pt",
            "cannot read 'chekpoint=hps.pt': options are frames, weights, reduce, normalise, checkpoint",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], options: str, sentence: str
) -> None:
    code, said = run(monkeypatch, capfd, "score", "clips", "-r", f"small.py:HPS[{options}]", "--prompt", "a star")
    assert code == 2
    assert sentence in said
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if line.strip()]) == 1


def test_a_learned_reward_without_prompts_fails_in_its_rows() -> None:
    table = rk.score_folder("clips", "small.py:HPS[checkpoint=hps.pt]", prompts="none")
    assert all("prompt" in (row.error or "") for row in table)
    assert not any(row.score for row in table)


def test_names_of_releases_are_those_of_their_cards() -> None:
    for name in rk.list_rewards():
        assert getattr(REWARDS.load(name), "card").name == name  # noqa: B009
