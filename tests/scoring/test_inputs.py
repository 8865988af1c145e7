import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from rewardkit import NothingToDoError, UsageError
from rewardkit.scoring.inputs import find_videos


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(*sources: Path | str) -> list[str]:
    return [video.name for video in find_videos([str(source) for source in sources])]


def test_a_folder_is_searched_with_its_subfolders_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "10.mp4", "2.MP4", "b/1.webm", "a/3.mov", "notes.md", ".hidden.mp4", ".cache/x.mp4", "prompts.csv")
    assert names(tmp_path) == ["2.MP4", "10.mp4", "a/3.mov", "b/1.webm"]


def test_a_folder_of_pictures_is_one_video(tmp_path: Path) -> None:
    touch(tmp_path, "film/001.png", "film/002.png", "clip.mp4", "thumbs/clip.mp4", "thumbs/clip.jpg")
    assert names(tmp_path) == ["clip.mp4", "film", "thumbs/clip.mp4"]
    assert names(tmp_path / "film") == ["film"]


def test_every_source_names_a_video_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    assert names(tmp_path, tmp_path / "a.mp4", tmp_path / "*.mp4", tmp_path / "." / "b.mp4") == ["a.mp4", "b.mp4"]


def test_a_glob_may_be_given_quoted(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4", "y/b.mp4", "y/c.txt")
    assert names(tmp_path / "*" / "*.mp4") == ["a.mp4", "b.mp4"]


def test_names_do_not_depend_on_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "films/deep/a.mp4")
    monkeypatch.chdir(tmp_path)
    assert names("films") == names(tmp_path / "films") == names("./films/") == ["deep/a.mp4"]


@pytest.mark.parametrize("listed", [b"a.mp4\nb c.mp4\n", b"a.mp4\r\nb c.mp4\r\n\r\n", b"a.mp4\0b c.mp4\0"])
def test_paths_come_on_standard_input(listed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(listed)))
    assert [video.path for video in find_videos(["-"])] == ["a.mp4", "b c.mp4"]


def test_nul_separated_paths_may_hold_newlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"two\nlines.mp4\0")))
    assert [video.path for video in find_videos(["-"])] == ["two\nlines.mp4"]


def test_a_manifest_names_videos_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('path,prompt\nsub/a.mp4,"one, two"\nmissing.mp4,\n')
    found = find_videos([tmp_path / "list.csv"])
    assert [(video.path, video.prompt) for video in found] == [
        (str(tmp_path / "sub/a.mp4"), "one, two"),
        (str(tmp_path / "missing.mp4"), ""),
    ]


def test_a_dangling_link_is_found_so_that_its_row_can_say_so(tmp_path: Path) -> None:
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert names(tmp_path) == names(tmp_path / "gone.mp4") == ["gone.mp4"]


def test_a_source_that_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file or folder: .*nowhere"):
        find_videos([tmp_path / "nowhere"])


def test_a_folder_without_videos_says_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "notes.md")
    with pytest.raises(NothingToDoError, match=r"no videos in .*\.mp4.*folders of pictures"):
        find_videos([tmp_path])


def test_a_webp_is_a_video_where_it_moves_and_a_picture_where_it_does_not(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), (level, 0, 0)) for level in (0, 120, 240)]
    for name in ("moving/a.webp", "moving/b.webp", "still/1.webp", "still/2.webp", "mixed/a.webp", "mixed/1.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        more = {"save_all": True, "append_images": frames[1:]} if name[-6] in "ab" else {}
        frames[0].save(tmp_path / name, **more)
    assert names(tmp_path) == ["mixed/a.webp", "moving/a.webp", "moving/b.webp", "still"]


def test_a_picture_beside_folders_of_films_is_no_video(tmp_path: Path) -> None:
    touch(tmp_path, "grid.png", "run1/1.mp4", "run2/frames/1.png")
    assert names(tmp_path) == ["run1/1.mp4", "run2/frames"]


def test_links_to_folders_are_followed_and_end(tmp_path: Path) -> None:
    touch(tmp_path, "real/1.mp4")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "films")
    assert names(tmp_path / "films") == ["linked/1.mp4"]


def test_a_manifest_among_its_videos_gives_them_their_prompts(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4", "notes.txt")
    (tmp_path / "p.csv").write_text("path,prompt\n1.mp4,a cat\n")
    found = find_videos([str(path) for path in (tmp_path, tmp_path / "p.csv")])
    assert [(video.name, video.prompt) for video in found] == [("1.mp4", "a cat")]
    assert names(tmp_path / "*") == ["1.mp4"]
