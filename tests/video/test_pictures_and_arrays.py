"""Folders of pictures, animated WebP, GIF with transparency, .npy and .pt."""

from __future__ import annotations

import pickle
import shutil
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import encode, numbered
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rewardkit.errors import UnreadableVideoError
from rewardkit.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, open_video, read_video


def film(num_frames: int = 4) -> NDArray[np.uint8]:
    """(frame, height, width, 3) with height != width."""
    return np.stack([numbered(number) for number in range(num_frames)])


def read(path: Path, index: list[int]) -> NDArray[np.uint8]:
    """(frame, height, width, 3)."""
    with open_video(path) as video:
        return video.read(index).permute(0, 2, 3, 1).numpy()


def folder_of(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for name, picture in zip(names, film(len(names)), strict=True):
        Image.fromarray(picture).save(path / name)
    return path


def test_pictures_come_in_natural_order_of_their_names(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ["frame2.png", "frame10.PNG", "frame100.bmp"])
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".frame1.png").write_bytes(b"left by some file browser")
    np.testing.assert_array_equal(read(folder, [2, 0, 1, 0]), film(3)[[2, 0, 1, 0]])
    with open_video(folder) as video:
        info = video.info
    assert (info.num_frames, info.fps, info.width, info.height) == (3, None, 128, 96)


def test_pictures_of_other_size_are_an_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ["0.png", "1.png"])
    Image.new("RGB", (96, 128)).save(folder / "1.png")
    with pytest.raises(UnreadableVideoError, match="changes its size from 128x96 to 96x128 at frame 1"):
        read(folder, [0, 1])


def test_broken_picture_is_an_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ["0.png", "1.png"])
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableVideoError, match=r"1\.png' cannot be decoded as a picture"):
        read(folder, [1])


def test_picture_over_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ["0.png"])
    data = bytearray((folder / "0.png").read_bytes())
    data[16:24] = (9000).to_bytes(4) * 2
    # the header's checksum
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    (folder / "0.png").write_bytes(data)
    with pytest.raises(UnreadableVideoError, match="9000x9000 pixels, over the limit"):
        open_video(folder)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (6, 4), "black").convert(mode).save(tmp_path / "a" / "0.tif")
    np.testing.assert_array_equal(read(tmp_path / "a", [0]), np.zeros((1, 4, 6, 3)))


def test_sixteen_bit_pictures_are_an_error_and_not_clipped(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((4, 6), 40000, np.uint16)).save(tmp_path / "a" / "0.png")
    with pytest.raises(UnreadableVideoError, match="not 8 bits a colour"):
        open_video(tmp_path / "a")


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    half = Image.new("RGBA", (6, 4), (200, 0, 0, 255))
    half.putpixel((2, 1), (0, 0, 0, 0))
    half.save(tmp_path / "a" / "0.png")
    half.save(tmp_path / "a.webp", lossless=True)
    half.save(tmp_path / "a.gif")
    for path in (tmp_path / "a", tmp_path / "a.webp", tmp_path / "a.gif"):
        (picture,) = read(path, [0])
        assert picture[1, 2].tolist() == [255, 255, 255]
        assert picture[0, 0].tolist() == [200, 0, 0]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(numbered(5), 1)).save(tmp_path / "a" / "0.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a", [0]), numbered(5)[None])


def test_animated_webp_gives_every_frame_and_its_rate(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture) for picture in film(5)]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 40, 80, 40, 50], lossless=True)
    np.testing.assert_array_equal(read(path, [4, 0, 2, 2]), film(5)[[4, 0, 2, 2]])
    with open_video(path) as video:
        assert video.info.fps == pytest.approx(5 / 0.25)


def test_webp_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture) for picture in film(5)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    data = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "a.webp").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UnreadableVideoError, match="is cut short"):
        open_video(tmp_path / "a.webp")


def test_gif_frames_that_paint_only_a_part_stand_on_what_was_there(tmp_path: Path) -> None:
    pictures = [Image.new("P", (20, 10), 0) for _ in range(3)]
    for picture in pictures:
        picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255] + [0] * 759)
    pictures[1].paste(1, (2, 3, 8, 6))
    pictures[2].paste(1, (2, 3, 8, 6))
    pictures[2].paste(2, (12, 1, 15, 9))
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], disposal=1, duration=40)
    expected = np.stack([np.array(picture.convert("RGB")) for picture in pictures])
    np.testing.assert_array_equal(read(tmp_path / "a.gif", [0, 1, 2]), expected)


def to_npy(path: Path, array: Tensor) -> Path:
    np.save(path.with_suffix(".npy"), array.numpy())
    return path.with_suffix(".npy")


def to_pt(path: Path, array: Tensor) -> Path:
    torch.save(array, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


SAVES = [to_npy, to_pt]


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
def test_arrays_of_either_layout_are_read(
    tmp_path: Path, save: Callable[[Path, Tensor], Path], channels_first: bool, dtype: torch.dtype
) -> None:
    array = torch.from_numpy(film())
    if channels_first:
        array = array.permute(0, 3, 1, 2).contiguous()
    if dtype.is_floating_point:
        array = (array / 255).to(dtype)
    path = save(tmp_path / "a", array)
    np.testing.assert_array_equal(read(path, [3, 0, 1]), film()[[3, 0, 1]])
    with open_video(path) as video:
        info = video.info
    assert (info.num_frames, info.fps, info.width, info.height) == (4, None, 128, 96)


BAD_ARRAYS = {
    "three axes": (torch.zeros(3, 8, 9), r"has shape \(3, 8, 9\)"),
    "five axes": (torch.zeros(1, 2, 3, 8, 9), r"has shape \(1, 2, 3, 8, 9\)"),
    "four colours": (torch.zeros(2, 4, 8, 9), r"has shape"),
    "ambiguous": (torch.zeros(2, 3, 8, 3), "cannot be told"),
    "integers": (torch.zeros(2, 3, 8, 9, dtype=torch.int64), "holds int64"),
    "too bright": (torch.full((2, 3, 8, 9), 255.0), "has values from 255 to 255"),
    "from -1": (torch.linspace(-1, 1, 432).reshape(2, 3, 8, 9), r"rescale it from \[-1, 1\]"),
    "nan": (torch.full((2, 3, 8, 9), torch.nan), "has values from nan to nan"),
    "no frames": (torch.zeros(0, 3, 8, 9), "has no frames|cannot be read as .npy"),
    "no pixels": (torch.zeros(2, 3, 0, 9), "has frames of 9x0 pixels|cannot be read as .npy"),
    "huge": (torch.zeros(1, 1, 1, 1).expand(1, 3, 9000, 9000), "over the limit"),
}


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("case", sorted(set(BAD_ARRAYS) - {"huge"}))
def test_bad_array_gives_one_clear_sentence(tmp_path: Path, save: Callable[[Path, Tensor], Path], case: str) -> None:
    array, sentence = BAD_ARRAYS[case]
    path = save(tmp_path / "a", array)
    with pytest.raises(UnreadableVideoError, match=sentence) as caught:
        read_video(path)
    assert "\n" not in str(caught.value)


def test_array_over_the_limit_is_refused_without_touching_its_pixels(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideoError, match="9000x9000 pixels, over the limit"):
        open_video(to_pt(tmp_path / "a", BAD_ARRAYS["huge"][0]))
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (1, 3, 9000, 9000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(9000 * 9000 * 3 + 1000)
    with pytest.raises(UnreadableVideoError, match="9000x9000 pixels, over the limit"):
        open_video(tmp_path / "a.npy")


def test_floats_that_overshoot_by_rounding_are_clamped(tmp_path: Path) -> None:
    array = torch.tensor([-5e-4, 0.5, 1 + 5e-4]).reshape(1, 3, 1, 1).expand(1, 3, 4, 6).contiguous()
    assert read(to_npy(tmp_path / "a", array), [0])[0, 0, 0].tolist() == [0, 128, 255]


def test_only_the_frames_read_are_checked_and_loaded(tmp_path: Path) -> None:
    array = torch.zeros(3, 3, 8, 9)
    array[1] = torch.nan
    path = to_pt(tmp_path / "a", array)
    assert read(path, [0, 2]).shape == (2, 8, 9, 3)
    with pytest.raises(UnreadableVideoError, match="in frame 1"):
        read(path, [1])


def test_text_short_and_executable_arrays_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "text.pt").write_text("not a tensor")
    np.save(tmp_path / "object.npy", np.array([shutil.rmtree], dtype=object), allow_pickle=True)
    (tmp_path / "code.pt").write_bytes(pickle.dumps(shutil.rmtree))
    torch.save({"video": torch.zeros(2, 3, 8, 9)}, tmp_path / "dict.pt")
    whole = to_npy(tmp_path / "cut", torch.zeros(2, 3, 8, 9)).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-9])
    whole = to_pt(tmp_path / "cut", torch.zeros(2, 3, 8, 9)).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[:-99])
    for name in ("text.npy", "text.pt", "object.npy", "code.pt", "dict.pt", "cut.npy", "cut.pt"):
        with pytest.raises(UnreadableVideoError, match=r"cannot be read as|holds a dict") as caught:
            open_video(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_suffixes_are_lower_case_with_a_dot() -> None:
    for suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
        assert suffix.startswith(".")
        assert suffix == suffix.lower()


def test_suffix_of_any_case_is_understood(tmp_path: Path) -> None:
    path = to_npy(tmp_path / "a", torch.zeros(2, 3, 8, 9)).rename(tmp_path / "A.NPY")
    assert read_video(path).shape == (2, 3, 8, 9)
    gif = encode(tmp_path / "b.gif", "gif", 3, pix_fmt="rgb8").rename(tmp_path / "B.GIF")
    assert read_video(gif).shape == (3, 3, 96, 128)


def test_headers_of_arrays_are_parsed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads at it failed one film in hundreds: `SystemError: AST constructor recursion depth mismatch`."""
    np.save(tmp_path / "a.npy", film())
    load, inside, most = np.load, [0], [0]

    def watched(*words: object, **named: object) -> object:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        found = load(*words, **named)  # type: ignore[arg-type]
        inside[0] -= 1
        return found

    monkeypatch.setattr(np, "load", watched)
    with ThreadPoolExecutor(8) as pool:
        films = list(pool.map(lambda number: read(tmp_path / "a.npy", [number % 4]), range(32)))
    assert most[0] == 1
    assert all(np.array_equal(frames[0], film()[number % 4]) for number, frames in enumerate(films))
