import json
from pathlib import Path

import pytest

from rewardkit import UsageError
from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.inputs import find_videos
from rewardkit.scoring.manifest import read_manifest
from rewardkit.scoring.prompts import attach_prompts
from tests.scoring.films import save_films
from tests.scoring.test_inputs import touch


def test_the_same_prompts_in_every_format(tmp_path: Path) -> None:
    pairs = {"a.mp4": 'a "quoted", cat', "sub/b.mp4": "two\nlines", "ü.mp4": "Größe 猫"}
    (tmp_path / "p.csv").write_text(
        '\ufeffpath,seed,prompt\na.mp4,1,"a ""quoted"", cat"\nsub/b.mp4,2,"two\nlines"\nü.mp4,3,Größe 猫\n',
        encoding="utf-8",
    )
    (tmp_path / "p.tsv").write_text(
        'video\tcaption\na.mp4\t"a ""quoted"", cat"\nsub/b.mp4\t"two\nlines"\nü.mp4\tGröße 猫\n'
    )
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps({"file_name": k, "text": v}) for k, v in pairs.items()))
    (tmp_path / "p.json").write_text(json.dumps([{"video_path": k, "prompt": v} for k, v in pairs.items()]))
    (tmp_path / "map.json").write_text(json.dumps(pairs))
    for name in ("p.csv", "p.tsv", "p.jsonl", "p.json", "map.json"):
        assert {entry.path: entry.prompt for entry in read_manifest(tmp_path / name)} == pairs, name


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("p.csv", "file;prompt\na;b\n", "line 2: no path: expected a column path or .*, got file;prompt"),
        ("p.csv", "path,words\na.mp4,b\n", "line 2: no prompt: expected a column prompt or caption"),
        ("p.csv", "path,prompt\na.mp4,x\nb.mp4,y\na.mp4,z\n", "line 4: a second prompt for a.mp4: 'z'"),
        ("p.jsonl", '{"path": "a.mp4", "prompt": "x"}\n{"path": \n', "line 2: not JSON"),
        ("p.jsonl", '["a.mp4", "x"]\n', "line 1: expected an object with a path and a prompt, got list"),
        ("p.json", '{"a.mp4": 3}', "entry 1: the prompt must be text, got int"),
        ("p.json", '"a.mp4"', "expected a list of objects"),
        ("p.txt", "a cat", "expected .csv, .json, .jsonl, .tsv"),
        ("p.csv", b"path,prompt\na.mp4,\xff\xfe\n", "cannot read the manifest"),
        ("p.csv", "path,prompt\na.mp4," + "x" * 200_000, "field larger than"),
        ("p.csv", 'path,prompt\na.mp4,"open\nb.mp4,c\n', "unexpected end of data"),
    ],
)
def test_a_bad_manifest_says_where(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=sentence):
        read_manifest(tmp_path / name)


def test_a_line_that_stands_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("path,prompt\na.mp4,x\na.mp4,x\n")
    assert len(read_manifest(tmp_path / "p.csv")) == 1


def attached(
    folder: Path, prompts: str | Path | dict[str, str] = "auto", prompt: str | None = None
) -> dict[str, tuple]:
    found = attach_prompts(find_videos([folder]), prompts, prompt)
    return {item.name: (item.prompt, item.prompt_source) for item in found.items}


def test_a_manifest_elsewhere_matches_by_position_below_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "films/a.mp4", "films/sub/a.mp4", "films/c.mp4")
    manifest = tmp_path / "meta" / "p.json"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps({"a.mp4": "top", "sub/a.mp4": "below", "z.mp4": "nobody's"}))
    found = attach_prompts(find_videos([tmp_path / "films"]), manifest)
    assert [(item.name, item.prompt, item.prompt_source) for item in found.items] == [
        ("a.mp4", "top", "manifest"),
        ("c.mp4", None, "none"),
        ("sub/a.mp4", "below", "manifest"),
    ]
    assert found.unmatched == ["z.mp4"]


def test_full_paths_win_over_names(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.mp4", "two/a.mp4")
    mapping = {str(tmp_path / "one/a.mp4"): "first", str(tmp_path / "two/a.mp4"): "second", "a.mp4": "ambiguous"}
    videos = find_videos([tmp_path / "one", tmp_path / "two"])
    assert [item.prompt for item in attach_prompts(videos, mapping).items] == ["first", "second"]


def test_sidecars_are_taken_where_there_are_some(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "film/1.png")
    (tmp_path / "a.txt").write_text(" a cat \n", encoding="utf-8")
    (tmp_path / "film.txt").write_text("a dog")
    expected = {"a.mp4": ("a cat", "sidecar"), "b.mp4": (None, "none"), "film": ("a dog", "sidecar")}
    assert attached(tmp_path) == attached(tmp_path, "sidecar") == expected
    assert attached(tmp_path, "none")["a.mp4"] == (None, "none")


def test_a_sidecar_that_is_no_text_is_that_videos_problem(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    items = attach_prompts(find_videos([tmp_path])).items
    assert items[0].problem is not None
    assert "cannot read the prompt in" in items[0].problem
    assert items[1].problem is None


def test_file_names_as_prompts(tmp_path: Path) -> None:
    touch(tmp_path, "a_cat_walking-3.mp4", "two dogs.mp4")
    assert attached(tmp_path, "filename") == {
        "a_cat_walking-3.mp4": ("a cat walking", "filename"),
        "two dogs.mp4": ("two dogs", "filename"),
    }


def test_one_prompt_for_all(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    assert set(attached(tmp_path, prompt="a cat").values()) == {("a cat", "literal")}
    with pytest.raises(UsageError, match="not both"):
        attached(tmp_path, "filename", prompt="a cat")


def test_the_prompt_of_a_videos_own_manifest_is_used(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "p.csv").write_text("path,prompt\na.mp4,a cat\n")
    assert attached(tmp_path / "p.csv") == {"a.mp4": ("a cat", "manifest")}


def test_a_prompts_file_that_is_not_there_is_not_taken_for_a_prompt(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    with pytest.raises(UsageError, match="no such prompts file: a cat; for one prompt for all videos use --prompt"):
        attached(tmp_path, "a cat")


def test_one_video_cannot_have_two_prompts(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("path,prompt\na.mp4,one\n")
    (tmp_path / "q.csv").write_text("path,prompt\na.mp4,two\n")
    with pytest.raises(UsageError, match="asked for with two prompts: 'one' and 'two'"):
        find_videos([tmp_path / "p.csv", tmp_path / "q.csv"])


def test_a_table_of_scores_is_no_manifest_but_its_rows_are(tmp_path: Path) -> None:
    save_films(tmp_path / "films", 1)
    out = tmp_path / "films" / "s.csv"
    score_folder(tmp_path / "films" / "0.npy", "tests.judges:Brightness", prompt="-2 cats", out=out)
    with pytest.raises(UsageError, match=r"s\.csv is a table of scores.*s\.csv\.jsonl"):
        read_manifest(out)
    assert [entry.prompt for entry in read_manifest(f"{out}.jsonl")] == ["-2 cats"]
