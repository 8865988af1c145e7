import base64
import hashlib
import io
import re
import time
from html.parser import HTMLParser
from typing import ClassVar

import jinja2
import numpy as np
import pytest
import torch
from PIL import Image

from rewardkit.bench.pages import thumbnails
from rewardkit.bench.pages.report import write_report
from rewardkit.errors import NothingToDoError, OutputError, UnreadableVideoError, UsageError
from rewardkit.scoring.rows import PartScore, ScoreHeader, ScoreRow
from rewardkit.video import VideoFile, VideoInfo

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"'><b onclick='alert(1)'>",
    "line\nbreak\ttab",
    "{{ 7*7 }}{% raw %}",
    "naïve 猫 \U0001f408 \u202etxt.exe",
    "half \udcff\ud800 character",
    "-->]]>&amp;&lt;",
]


def colour(number):
    """Each frame has a red and a green of its own, well apart for JPEG."""
    return (40 * number) % 240, 30 * (number // 6), 128


class FakeVideo(VideoFile):
    """40 frames of 60 x 90, each in its own colour; records what was read."""

    asked: ClassVar[list] = []

    def __init__(self, path):
        if "gone" in str(path):
            raise UnreadableVideoError(f"{str(path)!r} does not exist")
        self.path = path
        self.info = VideoInfo(num_frames=40, fps=8.0, width=90, height=60)

    def read(self, index):
        FakeVideo.asked.append((str(self.path), list(index)))
        frames = torch.tensor([colour(number) for number in index], dtype=torch.uint8)
        return frames[:, :, None, None].expand(-1, 3, 60, 90)

    def _pictures(self, wanted):
        raise NotImplementedError

    def close(self):
        pass


@pytest.fixture(autouse=True)
def _fake_videos(monkeypatch):
    FakeVideo.asked = []
    monkeypatch.setattr(thumbnails, "open_video", FakeVideo)


class Reader(HTMLParser):
    """All tags with their attributes, and the text of each table row."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append({"attributes": dict(attributes), "text": "", "pictures": []})
        if tag == "img":
            self.rows[-1]["pictures"].append(dict(attributes))

    def handle_data(self, data):
        if self.rows:
            self.rows[-1]["text"] += data

    @property
    def videos(self):
        return self.rows[1:]


def row(number=0, score=0.5, **rest):
    values = {
        "key": str(number),
        "path": f"clips/{number}.mp4",
        "prompt": f"prompt {number}",
        "prompt_source": "manifest",
        "reward": "technical",
        "score": score,
        "per_frame": [0.25, 0.5, 0.75],
        "frame_index": [3, 7, 20],
        "weights": [0.1, 1.0, 0.1],
        "num_frames": 40,
        "fps": 8.0,
        "width": 90,
        "height": 60,
        "decode_ms": 12.0,
        "model_ms": 3.0,
        "status": "ok",
    }
    return ScoreRow(**(values | rest))


def failed(number=9, error="the file ends early", **rest):
    return ScoreRow(
        key=str(number),
        path=f"clips/{number}.mp4",
        prompt="broken",
        prompt_source="sidecar",
        reward="technical",
        status="error",
        error=error,
        **rest,
    )


def header(**rest):
    values = {
        "reward": "technical",
        "fingerprint": "f00d",
        "cwd": "/films",
        "configuration": {"frames": "uniform:3"},
        "versions": {"torch": "9.9"},
        "weights_sha256": {"a.pt": "abc123"},
        "device": "cpu",
        "dtype": "float32",
        "platform": "Linux",
        "created": "2026-01-02",
    }
    return ScoreHeader(**(values | rest))


def report(tmp_path, rows, head=None, **options):
    out = tmp_path / "report.html"
    write_report(rows, head, out, **options)
    return Reader(out.read_text("utf-8")), out.read_text("utf-8")


# ---- self-contained and safe


def test_page_loads_nothing_from_anywhere(tmp_path):
    page, html = report(tmp_path, [row(), failed()], header())
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not {"href", "srcset", "action", "poster"} & attributes.keys()
        assert attributes.get("src", "data:").startswith("data:image/jpeg;base64,") or "src" not in attributes
    style = re.search("<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in html.replace("http-equiv", "")


def test_policy_forbids_all_but_the_one_style_and_the_one_script(tmp_path):
    page, html = report(tmp_path, [row()])
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    for element in ("style", "script"):
        (text,) = re.findall(rf"<{element}[^>]*>(.*?)</{element}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_page_has_no_inline_style_or_handler_that_the_policy_would_block(tmp_path):
    page, _ = report(tmp_path, [row(), failed()], header())
    for _, attributes in page.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def report_full_of(tmp_path, text):
    """A page in which every string that can come from outside is `text`."""
    part = PartScore(score=1, per_frame=[1], frame_index=[3], weights=[1])
    rows = [
        row(reward=text, prompt=text, path=text),
        row(1, reward=text, parts={text: part, "other": part}),
        row(2, reward=text, path=f"gone {text}"),
        failed(error=text).model_copy(update={"reward": text}),
    ]
    head = header(
        **dict.fromkeys(["reward", "fingerprint", "device", "dtype", "platform", "created"], text),
        configuration={text: text},
        versions={text: text},
        weights_sha256={text: text},
    )
    return report(tmp_path, rows, head)[0]


def as_stored(text):
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(tmp_path, text):
    page = report_full_of(tmp_path, text)
    harmless = report_full_of(tmp_path, "harmless")
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert [set(attributes) for _, attributes in page.tags] == [set(a) for _, a in harmless.tags]
    first, last = (next(v for v in page.videos if v["attributes"]["data-order"] == n) for n in "03")
    assert first["attributes"]["data-prompt"] == as_stored(text)
    assert first["attributes"]["data-path"] == as_stored(text)
    assert as_stored(text) in first["text"]
    assert as_stored(text) in last["text"]


def test_without_escaping_hostile_text_would_be_noticed(tmp_path, monkeypatch):
    escaping = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: escaping(**(options | {"autoescape": False})))
    page = report_full_of(tmp_path, "</p><b onclick='alert(1)'>")
    assert any("onclick" in attributes for _, attributes in page.tags)


# ---- pictures


def decoded(picture):
    data = base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)), dtype=int)


def test_each_picture_shows_the_scored_frame_it_is_labelled_with(tmp_path):
    page, _ = report(tmp_path, [row()])
    pictures = page.videos[0]["pictures"]
    assert [picture["alt"] for picture in pictures] == ["frame 3", "frame 7", "frame 20"]
    for picture, number in zip(pictures, [3, 7, 20], strict=True):
        pixels = decoded(picture)
        assert pixels.shape == (int(picture["height"]), int(picture["width"]), 3) == (60, 90, 3)
        # JPEG at this quality keeps a flat colour within two levels
        assert np.abs(pixels - colour(number)).max() <= 2


def test_only_the_scored_frames_are_read(tmp_path):
    report(tmp_path, [row(), failed()])
    assert FakeVideo.asked == [("clips/0.mp4", [3, 7, 20])]


def test_relative_paths_start_from_the_folder_of_the_run(tmp_path):
    report(tmp_path, [row(path="a.mp4"), row(1, path="/other/b.mp4")], header(cwd="/films"))
    assert sorted(path for path, _ in FakeVideo.asked) == ["/films/a.mp4", "/other/b.mp4"]


def test_a_video_that_cannot_be_read_any_more_says_so_and_keeps_its_score(tmp_path):
    page, _ = report(tmp_path, [row(path="gone.mp4")])
    assert page.videos[0]["pictures"] == []
    assert "'gone.mp4' does not exist" in page.videos[0]["text"]
    assert "0.5" in page.videos[0]["text"]


def test_beyond_the_limit_only_worst_and_best_have_pictures_and_the_page_says_which(tmp_path):
    page, html = report(tmp_path, [row(i, score=i / 10) for i in range(9)], thumbnails=4)
    with_pictures = {float(v["attributes"]["data-score"]) for v in page.videos if v["pictures"]}
    assert with_pictures == {0.0, 0.1, 0.7, 0.8}
    assert "Pictures are shown for 4 of 9 scored videos: the worst and the best" in html
    assert html.count("No pictures: not among the 4 videos chosen") == 5


def test_no_thumbnails_reads_no_video(tmp_path):
    page, _ = report(tmp_path, [row()], thumbnails=0)
    assert FakeVideo.asked == []
    assert page.videos[0]["pictures"] == []


def test_very_many_scored_frames_are_shown_in_part_and_said_so(tmp_path):
    frames = list(range(40))
    page, _ = report(tmp_path, [row(frame_index=frames, per_frame=[0.1] * 40, weights=[1.0] * 40)])
    alts = [picture["alt"] for picture in page.videos[0]["pictures"]]
    assert (len(alts), alts[0], alts[-1]) == (24, "frame 0", "frame 39")
    assert "24 of 40 scored frames" in page.videos[0]["text"]


# ---- numbers


def test_tiles_show_the_statistics_of_scored_videos(tmp_path):
    page, html = report(tmp_path, [row(i, score=s) for i, s in enumerate([0.1, 0.2, 0.6])] + [failed()])
    tiles = dict(re.findall(r"<dt>(\w+)</dt><dd>([^<]*)", html))
    assert {name: tiles[name] for name in ("Videos", "Scored", "Failed")} == {
        "Videos": "4",
        "Scored": "3",
        "Failed": "1",
    }
    # deviation: sqrt(((0.2)^2 + (0.1)^2 + (0.3)^2) / 2)
    assert (tiles["Mean"], tiles["Median"], tiles["Spread"]) == ("0.300", "0.200", "0.265")
    assert (tiles["Worst"], tiles["Best"]) == ("0.100", "0.600")
    assert len(page.videos) == 4


def test_rows_come_best_first_and_failed_last(tmp_path):
    page, _ = report(tmp_path, [failed(), row(1, score=-0.2), row(2, score=0.9), row(3, score=0.0)])
    assert [video["attributes"].get("data-score") for video in page.videos] == ["0.9", "0.0", "-0.2", None]


def test_a_failed_row_shows_its_sentence_and_no_number(tmp_path):
    page, _ = report(tmp_path, [row(), failed(error="the file ends early")])
    video = page.videos[1]
    assert video["attributes"]["class"] == "failed"
    assert "the file ends early" in video["text"]
    assert "data-score" not in video["attributes"]


def test_a_page_of_failures_only_is_still_a_page(tmp_path):
    page, html = report(tmp_path, [failed(1), failed(2)])
    assert len(page.videos) == 2
    assert "histogram" not in re.sub("<style>.*?</style>", "", html, flags=re.DOTALL)


@pytest.mark.parametrize("weights", [None, [], [0.0, 0.0, 0.0]])
def test_frames_without_weights_still_have_pictures_and_a_curve(tmp_path, weights):
    page, html = report(tmp_path, [row(weights=weights)])
    assert len(page.videos[0]["pictures"]) == 3
    assert html.count('class="dot"') == 3


def test_a_weighted_sum_has_a_curve_and_a_score_for_each_part(tmp_path):
    parts = {
        "hpsv2.1": PartScore(score=0.27, per_frame=[0.26, 0.28], frame_index=[3, 20], weights=[1.0, 0.5]),
        "aesthetic-v2": PartScore(score=5.5, per_frame=[5.5], frame_index=[7], weights=[1.0]),
        "motion": PartScore(score=0.8, per_frame=None, frame_index=[3, 7, 20], weights=None),
    }
    page, html = report(tmp_path, [row(per_frame=None, weights=None, parts=parts)])
    text = page.videos[0]["text"]
    assert all(name in text for name in parts)
    assert html.count('class="line"') == 2
    assert len(page.videos[0]["pictures"]) == 3


def test_frames_that_only_a_video_level_part_looked_at_have_no_picture(tmp_path):
    parts = {
        "technical": PartScore(score=0.7, per_frame=[0.7, 0.7], frame_index=[3, 20], weights=[1.0, 1.0]),
        "motion": PartScore(score=0.8, per_frame=None, frame_index=list(range(21)), weights=None),
    }
    page, _ = report(tmp_path, [row(per_frame=None, weights=None, frame_index=list(range(21)), parts=parts)])
    assert [picture["alt"] for picture in page.videos[0]["pictures"]] == ["frame 3", "frame 20"]
    assert "The 2 frames that have a score of their own, of 21 looked at." in page.videos[0]["text"]


def test_a_reward_of_whole_videos_says_that_it_has_no_frame_scores(tmp_path):
    page, _ = report(tmp_path, [row(per_frame=None, weights=None)])
    assert "Judged as a whole" in page.videos[0]["text"]
    assert len(page.videos[0]["pictures"]) == 3


def test_the_header_is_on_the_page(tmp_path):
    _, html = report(tmp_path, [row()], header())
    assert all(word in html for word in ("f00d", "uniform:3", "9.9", "abc123", "2026-01-02"))


def test_headers_can_be_clicked_and_say_how_the_table_is_sorted(tmp_path):
    page, _ = report(tmp_path, [row()])
    sorted_heads = [a["aria-sort"] for t, a in page.tags if t == "th" and "aria-sort" in a]
    keys = [a["data-key"] for t, a in page.tags if t == "button" and "data-key" in a]
    assert sorted_heads == ["descending"]
    assert keys == ["order", "score", "prompt", "path", "time"]


# ---- the file


def test_no_rows_is_nothing_to_do(tmp_path):
    with pytest.raises(NothingToDoError, match="at least one row"):
        write_report([], None, tmp_path / "r.html")


def test_rows_of_two_rewards_are_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="'technical' and 'two'"):
        write_report([row(), row(1, reward="two")], None, tmp_path / "r.html")


def test_a_negative_number_of_thumbnails_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="give 0 or more"):
        write_report([row()], None, tmp_path / "r.html", thumbnails=-1)


def test_a_report_that_fails_leaves_the_old_one_and_no_draft(tmp_path, monkeypatch):
    out = tmp_path / "r.html"
    out.write_text("old")
    monkeypatch.setattr("rewardkit.bench.pages.report.render", lambda *names, **words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report([row()], None, out)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_report([row()], None, tmp_path / "file" / "r.html")


def test_the_same_rows_give_the_same_page(tmp_path):
    assert report(tmp_path, [row(), row(1)], header())[1] == report(tmp_path, [row(), row(1)], header())[1]


def test_a_thousand_videos_take_seconds_and_few_megabytes(tmp_path):
    rows = [row(i, score=i / 1000) for i in range(1000)]
    start = time.perf_counter()
    _, html = report(tmp_path, rows)
    # it takes about a second; the bounds leave room for a busy machine and more detail
    assert time.perf_counter() - start < 15
    assert len(html) < 8_000_000
