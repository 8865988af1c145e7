"""The page of a fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rewardkit.bench.films.before_after import BeforeAfter, Pair
from rewardkit.bench.films.filming import ALL
from rewardkit.bench.pages.training_report import animation, write_training_report
from rewardkit.engine.finetune import StepReport
from rewardkit.engine.guards import Look
from rewardkit.engine.run_folder import LOG, LOOKS, SETTINGS
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.errors import NothingToDoError, UsageError
from rewardkit.scoring.change import measure_change

HOSTILE = '<script>alert(1)</script> & "x"'


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    settings = FinetuneConfig().model_dump(mode="json")
    facts = {"backbone": "toy", "reward": HOSTILE, "examples": [["a cat", ""]], "settings": settings}
    (folder / SETTINGS).write_text(json.dumps(facts))
    return folder


def with_steps(folder: Path, looks: list[Look]) -> Path:
    steps = [
        StepReport(step=n, facts={"score": 0.1 * n, "kl": 0.01}, gradient_norm=1.0, learning_rate=1e-4, seconds=2.0)
        for n in (1, 2, 3)
    ]
    (folder / LOG).write_text("".join(step.model_dump_json() + "\n" for step in steps))
    (folder / LOOKS).write_text("".join(look.model_dump_json() + "\n" for look in looks))
    return folder


def look(step: int, held_out: float = 0.5, motion: float = 0.1) -> Look:
    return Look(
        step=step,
        reward=0.1 * step,
        held_out={"judge": held_out},
        error={HOSTILE: 0.01, "judge": 0.01},
        motion=motion,
        diversity=0.2,
        saturated=0.0,
        lora_norm=float(step),
    )


def test_it_shows_curves_guards_and_settings(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_training_report(with_steps(run, [look(0), look(3, held_out=0.6)]), page)
    html = page.read_text()
    for words in ("judge", "Motion", "Diversity between seeds", "Size of the LoRA", "gradient", "kl", "2.0 s each"):
        assert words in html
    assert "The guards" not in html
    assert html.count('<figure class="chart') == 6 + 3
    assert html.count('class="limit"') == 3


def test_it_says_why_the_guards_stopped_it(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_training_report(with_steps(run, [look(0), look(2), look(3, motion=0.02)]), page)
    assert "went back to step 0: motion fell to 20% of the base model" in page.read_text()


def test_what_comes_from_users_is_escaped(run: Path, tmp_path: Path) -> None:
    film = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    pairs = [Pair(HOSTILE, HOSTILE, 0, film, film, {"x": 0.0}, {"x": n / 10}) for n in range(3)]
    change = measure_change("x", [(p.before, p.after) for p in pairs], lambda numbers: numbers["x"])
    page = tmp_path / "page.html"
    measured = BeforeAfter(pairs, {ALL: {HOSTILE: change}, HOSTILE: {HOSTILE: change}})
    write_training_report(with_steps(run, [look(0)]), page, measured, HOSTILE)
    html = page.read_text()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)") > 5
    assert html.count("data:image/webp;base64,") == 6


def test_it_may_still_be_under_way(run: Path, tmp_path: Path) -> None:
    with_steps(run, [])
    with (run / LOG).open("a") as file:
        file.write('{"step": 4, "fa')
    write_training_report(run, tmp_path / "page.html")
    assert 'aria-label="score from' in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b"])
def test_a_name_with_an_end_of_line_is_no_end_of_a_record(end: str, run: Path, tmp_path: Path) -> None:
    step = StepReport(step=1, facts={f"one{end}two": 0.5}, gradient_norm=1.0, learning_rate=1e-4, seconds=2.0)
    (run / LOG).write_text(step.model_dump_json() + "\n", encoding="utf-8")
    write_training_report(run, tmp_path / "page.html")
    assert f"<bdi>one{end}two</bdi>" in (tmp_path / "page.html").read_text("utf-8")


def test_what_is_no_training_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no fine-tuning"):
        write_training_report(tmp_path, tmp_path / "page.html")
    with pytest.raises(NothingToDoError, match="no step was taken yet"):
        write_training_report(run, tmp_path / "page.html")
    with pytest.raises(UsageError, match="give a name that ends in"):
        write_training_report(with_steps(run, []), tmp_path / "page.txt")


def test_an_animation_keeps_every_pixel_of_every_frame() -> None:
    import base64
    import io

    import numpy as np
    from PIL import Image

    film = torch.randint(0, 256, (5, 3, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Image.open(io.BytesIO(base64.b64decode(animation(film).partition(",")[2])))
    assert picture.n_frames == 5
    for number, frame in enumerate(film):
        picture.seek(number)
        assert np.array_equal(np.asarray(picture.convert("RGB")), frame.permute(1, 2, 0).numpy())
