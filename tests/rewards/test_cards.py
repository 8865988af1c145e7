"""Cards of learned rewards say what is so: numbers of weights counted on the published architectures."""

from collections.abc import Callable

import pytest
from torch import nn

from rewardkit.rewards.aesthetic import AESTHETIC_V1, AESTHETIC_V2, V2_WIDTHS
from rewardkit.rewards.aesthetic_v2_5 import AESTHETIC_V2_5, DROPOUTS, HEAD_WIDTHS
from rewardkit.rewards.blipscore import BLIPSCORE
from rewardkit.rewards.catalog import list_rewards, reward_files, reward_info, reward_settings
from rewardkit.rewards.clip_iqa import CLIP_IQA
from rewardkit.rewards.clipscore import CLIPSCORE, CLIPSCORE_H14, CLIPSCORE_L14
from rewardkit.rewards.heads import linear_stack
from rewardkit.rewards.hpsv2 import HPSV2_0, HPSV2_1
from rewardkit.rewards.imagereward import IMAGEREWARD
from rewardkit.rewards.mps import MPS
from rewardkit.rewards.pickscore import PICKSCORE
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.blip import BlipTower
from rewardkit.rewards.towers.clip import ClipTower, configuration
from rewardkit.rewards.towers.cross_attention import CrossModel
from rewardkit.rewards.towers.siglip import SiglipTower
from rewardkit.rewards.viclip import VICLIP, WORDS, FilmTower
from rewardkit.weights.filling import parameters_on_meta

Parts = Callable[[Release], list[nn.Module]]


def clip(release: Release) -> list[nn.Module]:
    return [ClipTower(configuration(release.defaults["architecture"]))]  # type: ignore[arg-type]


def picture_tower(release: Release) -> list[nn.Module]:
    widths = (1,) if release is AESTHETIC_V1 else V2_WIDTHS
    return [clip(release)[0].clip.visual, linear_stack(768, widths)]  # type: ignore[list-item]


def siglip(release: Release) -> list[nn.Module]:
    return [SiglipTower(release.defaults["architecture"]), linear_stack(1152, HEAD_WIDTHS, DROPOUTS)]  # type: ignore[arg-type]


def blip(release: Release) -> list[nn.Module]:
    head = [linear_stack(768, V2_WIDTHS)] if release is IMAGEREWARD else []
    return [BlipTower(release.defaults["architecture"]), *head]  # type: ignore[arg-type]


def mps(release: Release) -> list[nn.Module]:
    sizes = release.defaults["architecture"]
    return [ClipTower(configuration(sizes.clip)), CrossModel(1024, sizes.layers, sizes.heads)]  # type: ignore[attr-defined]


def films(release: Release) -> list[nn.Module]:
    config = configuration(release.defaults["architecture"])  # type: ignore[arg-type]
    return [FilmTower({**config, "text_cfg": {**config["text_cfg"], "context_length": WORDS}})]


COUNTED: list[tuple[Release, Parts]] = [
    *((release, clip) for release in (HPSV2_0, HPSV2_1, PICKSCORE, CLIPSCORE, CLIPSCORE_L14, CLIPSCORE_H14, CLIP_IQA)),
    *((release, picture_tower) for release in (AESTHETIC_V1, AESTHETIC_V2)),
    *((release, blip) for release in (IMAGEREWARD, BLIPSCORE)),
    (AESTHETIC_V2_5, siglip),
    (MPS, mps),
    (VICLIP, films),
]


@pytest.mark.parametrize(
    ("release", "parts"), COUNTED, ids=lambda value: getattr(getattr(value, "card", None), "name", "")
)
def test_the_number_of_weights_is_counted(release: Release, parts: Parts) -> None:
    with parameters_on_meta():
        modules = parts(release)
    assert sum(weight.numel() for module in modules for weight in module.parameters()) == release.card.parameters


@pytest.mark.parametrize("name", [name for name in list_rewards() if reward_files(name)])
def test_cards_of_learned_rewards_are_complete(name: str) -> None:
    card = reward_info(name)
    assert card.weights_licence
    assert card.parameters
    assert card.input != "the picture as it is"
    assert card.preprocess == ("exact", "diff")
    assert card.differentiable
    assert "checkpoint" in reward_files(name)


def test_a_reward_without_an_init_of_its_own_has_no_settings() -> None:
    assert reward_settings("motion") == []
    assert reward_settings("pickscore") == ["checkpoint", "architecture", "preprocess", "scale"]
