"""The picture measures against loops, closed forms and known truth."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import blurred, brightened, compressed, flattened, greyed, noisy, picture
from torch import Tensor

from rewardkit.rewards.blockiness import Blockiness
from rewardkit.rewards.colourfulness import Colourfulness
from rewardkit.rewards.contrast import Contrast
from rewardkit.rewards.exposure import Exposure
from rewardkit.rewards.noise import Noise, noise_level
from rewardkit.rewards.sharpness import Sharpness, edge_sharpness

SEEDS = range(4)


def grey(luma: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(luma).expand(1, 3, *luma.shape)


def luma_of(image: Tensor) -> NDArray[np.float64]:
    red, green, blue = image[0].double().numpy()
    return 0.299 * red + 0.587 * green + 0.114 * blue


def falls(scores: list[float]) -> bool:
    return all(after < before for before, after in pairwise(scores))


# contrast


def test_contrast_of_a_checkerboard_is_half() -> None:
    board = np.indices((6, 8)).sum(0) % 2.0
    assert Contrast()(grey(board)).item() == pytest.approx(0.5, abs=1e-5)


def test_contrast_is_the_standard_deviation_of_luminance() -> None:
    image = picture(0).double()
    expected = luma_of(image).std()
    assert Contrast()(image).item() == pytest.approx(expected, rel=1e-4)  # the floor adds 0.001 squared


@pytest.mark.parametrize("seed", SEEDS)
def test_contrast_falls_when_the_picture_is_flattened(seed: int) -> None:
    assert falls([Contrast()(flattened(picture(seed), left)).item() for left in (1, 0.8, 0.65, 0.5, 0.35, 0.2)])


# colourfulness


def test_colourfulness_is_the_papers_formula() -> None:
    image = picture(1).double()
    red, green, blue = 255 * image[0].numpy()
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert Colourfulness()(image).item() == pytest.approx(expected, rel=1e-3)  # the floors add 0.001 squared


def test_colourfulness_of_one_pure_colour_is_its_offset() -> None:
    red = torch.zeros(1, 3, 5, 7)
    red[:, 0] = 1
    assert Colourfulness()(red).item() == pytest.approx(0.3 * math.hypot(255, 127.5) + 0.255, rel=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_colourfulness_falls_with_desaturation(seed: int) -> None:
    assert falls([Colourfulness()(greyed(picture(seed), left)).item() for left in (1, 0.8, 0.6, 0.4, 0.2, 0)])


# exposure


@pytest.mark.parametrize("level", [0.3, 0.5, 0.7])
def test_exposure_of_a_flat_grey_is_mertens_curve(level: float) -> None:
    flat = torch.full((1, 3, 5, 7), level)
    assert Exposure()(flat).item() == pytest.approx(math.exp(-((level - 0.5) ** 2) / 0.08), rel=1e-4)


def test_exposure_of_half_black_half_white_is_nearly_nothing() -> None:
    board = np.indices((6, 8)).sum(0) % 2.0
    assert Exposure()(grey(board)).item() == pytest.approx(0, abs=0.13)  # a sigmoid counts pure white as 0.88 lost


@pytest.mark.parametrize("factors", [(1, 0.8, 0.65, 0.5, 0.35, 0.2), (1, 1.4, 2, 2.8, 4, 5.6)])
@pytest.mark.parametrize("seed", SEEDS)
def test_exposure_falls_when_darkened_and_when_overexposed(seed: int, factors: tuple[float, ...]) -> None:
    well_exposed = picture(seed) * (0.5 / picture(seed).mean())
    assert falls([Exposure()(brightened(well_exposed, factor)).item() for factor in factors])


def test_exposure_leaves_contrast_alone() -> None:
    image = 0.5 + 0.4 * (picture(0) - picture(0).mean())
    assert Exposure()(flattened(image, 0.3)).item() == pytest.approx(Exposure()(image).item(), rel=1e-2)


# noise


@pytest.mark.parametrize("sigma", [2.0, 5.0, 15.0])
def test_noise_on_a_smooth_ground_is_recovered_within_a_tenth(sigma: float) -> None:
    ramp = np.linspace(0.3, 0.7, 200)[:, None] + np.linspace(-0.1, 0.1, 160)[None]
    grain = np.random.default_rng(0).standard_normal(ramp.shape) * sigma / 255
    assert -Noise()(grey(ramp + grain)).item() == pytest.approx(sigma, rel=0.1)


def test_noise_within_one_block_is_immerkaers_mask() -> None:
    luma = np.random.default_rng(1).uniform(size=(8, 9))  # leaves 6x7 answers: one block
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    answers = [(luma[y : y + 3, x : x + 3] * mask).sum() for y in range(6) for x in range(7)]
    expected = 255 * math.sqrt(np.mean(np.square(answers)) / 36)
    assert noise_level(torch.from_numpy(luma)[None]).item() == pytest.approx(expected, rel=1e-6)


def test_noise_listens_to_the_quiet_part() -> None:
    luma = np.full((80, 80), 0.5)
    luma[:, 40:] += np.random.default_rng(2).standard_normal((80, 40)) * 20 / 255
    assert -Noise()(grey(luma)).item() < 1


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_falls_with_noise(seed: int) -> None:
    assert falls([Noise()(noisy(picture(seed), sigma)).item() for sigma in (0, 0.01, 0.02, 0.04, 0.08, 0.16)])


# sharpness


def test_sharpness_without_noise_is_the_blur_effect_by_loops() -> None:
    luma = np.random.default_rng(3).uniform(size=(14, 17))
    expected = []
    for plane in (luma, luma.T):
        blurs = np.stack([np.convolve(row, np.ones(9) / 9, mode="valid") for row in plane])
        lost, whole = [], []
        for row, blur in zip(plane, blurs, strict=True):
            for x in range(len(blur) - 1):  # blur[x] is centred on row[x + 4]
                edge, soft = abs(row[x + 5] - row[x + 4]), abs(blur[x + 1] - blur[x])
                lost.append(max(0, edge - soft) ** 2)
                whole.append(edge**2)
        expected.append(np.mean(lost) / (np.mean(whole) + 0.004**2))
    score = edge_sharpness(torch.from_numpy(luma)[None], torch.zeros(1, dtype=torch.float64))
    assert score.item() == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_sharpness_falls_with_blur_and_with_noise(seed: int) -> None:
    image = picture(seed)
    assert falls([Sharpness()(blurred(image, sigma)).item() for sigma in (0.01, 0.5, 1, 1.6, 2.5, 4)])
    assert falls([Sharpness()(noisy(image, sigma)).item() for sigma in (0, 0.01, 0.02, 0.04)])


def test_sharpness_hardly_heeds_contrast() -> None:
    image = picture(0)  # the floor of one grey level is felt by the weak half of the edges
    assert Sharpness()(flattened(image, 0.5)).item() == pytest.approx(Sharpness()(image).item(), rel=0.1)


# blockiness


def blocks(phase: int) -> NDArray[np.float64]:
    """Flat blocks of 8x8, every other one 0.1 brighter, with a ramp of 0.01 a pixel along both axes."""
    y, x = np.mgrid[:48, :64]
    tiles = ((y + phase) // 8 + (x + phase) // 8) % 2
    return 0.2 + 0.001 * (x + y) + 0.1 * tiles


def test_blockiness_of_known_blocks_is_the_log_of_the_ratio() -> None:
    # a boundary steps by 0.101 and 0.099 in turn, everything within by 0.001; the floor is 0.001
    score = -Blockiness()(grey(blocks(0))).item()
    assert score == pytest.approx(math.log(0.101 / 0.002), rel=0.01)


def test_blockiness_is_seen_on_the_encoders_grid_only() -> None:
    assert Blockiness()(grey(blocks(4))).item() == pytest.approx(0, abs=1e-3)


def test_blockiness_gives_nothing_for_smoothing_the_boundaries() -> None:
    luma = np.random.default_rng(4).uniform(size=(48, 64))
    smoothed = luma.copy()
    smoothed[:, 8::8] = smoothed[:, 7:-1:8]
    gained = Blockiness()(grey(smoothed)).item() - Blockiness()(grey(luma)).item()
    assert 0 < gained < 0.03


@pytest.mark.parametrize("seed", SEEDS)
def test_blockiness_falls_with_jpeg(seed: int) -> None:
    image = picture(seed)
    versions = [image, *(compressed(image, quality) for quality in (80, 60, 40, 20, 10))]
    assert falls([Blockiness()(version).item() for version in versions])


def test_blockiness_of_unstructured_noise_is_nothing() -> None:
    luma = np.random.default_rng(4).uniform(size=(240, 320))
    bend = 0.03 * math.log(2)  # what the bend leaves of a log ratio of nothing
    assert Blockiness()(grey(luma)).item() == pytest.approx(-bend, abs=0.005)
