"""Mistakes that ports of these models are known to make, each shown to be noticed by our numbers."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from learned import golden, model, ours
from PIL import Image
from torch import Tensor

import rewardkit as rk
from rewardkit.rewards.aesthetic import AESTHETIC_V1, AESTHETIC_V2
from rewardkit.rewards.clip_iqa import CLIP_IQA
from rewardkit.rewards.clipscore import CLIPSCORE, CLIPSCORE_H14, CLIPSCORE_L14
from rewardkit.rewards.hpsv2 import HPSV2_1
from rewardkit.rewards.mps import selected
from rewardkit.rewards.preprocessing import Crop, PadToSquare
from rewardkit.rewards.towers.clip import HuggingFaceTokenizer, OpenAITokenizer, configuration, cosine
from rewardkit.rewards.viclip import VICLIP


def official(name: str, picture: str) -> Tensor:
    return torch.tensor(golden.read(name)["scores"][picture])


def test_pickscore_pairs_each_picture_with_its_own_prompt() -> None:
    """VADER's loss scores every picture of a batch against the first prompt."""
    shown, reward = ["exact", "exact"], model("pickscore", "exact")
    images = torch.stack([ours.item(name) for name in shown])
    scores = reward(images, [ours.PROMPTS[0], ours.PROMPTS[4]])
    expected = torch.stack([official("pickscore", "exact")[0], official("pickscore", "exact")[4]])
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)
    assert abs(expected[0] - expected[1]) > 0.01, "with the first prompt for both this would pass too"


@pytest.mark.parametrize("name", ["clipscore_l14", "imagereward", "pickscore"])
def test_resizing_without_antialias_is_five_times_as_far(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = model(name)
    ours_off = ours.difference(name, reward, "diff")
    plain: Callable[..., Tensor] = torch.nn.functional.interpolate
    monkeypatch.setattr(
        torch.nn.functional, "interpolate", lambda *words, antialias, **named: plain(*words, antialias=False, **named)
    )
    assert ours.difference(name, reward, "diff") > 5 * ours_off


@pytest.mark.parametrize("name", ["clipscore_l14", "aesthetic_v2", "viclip"])
def test_gelu_in_the_place_of_quickgelu_is_noticed(name: str, tmp_path: Path) -> None:
    """open_clip loads OpenAI's weights into `ViT-L-14` without a word, and every score is wrong."""
    content = golden.read(name)
    assert content["architecture"]["quick_gelu"]
    wrong = {**content, "architecture": {**content["architecture"], "quick_gelu": False}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "read", lambda *_: wrong)
        reward = ours.build(name, tmp_path)
    assert ours.difference(name, reward, "exact") > 100 * ours.CHECKS[name].exact


@pytest.mark.parametrize("release", [CLIPSCORE, CLIPSCORE_L14, AESTHETIC_V1, AESTHETIC_V2, CLIP_IQA, VICLIP])
def test_openais_weights_get_quickgelu_by_default(release: object) -> None:
    assert configuration(release.defaults["architecture"])["quick_gelu"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("release", [HPSV2_1, CLIPSCORE_H14])
def test_laions_weights_get_gelu_by_default(release: object) -> None:
    assert not configuration(release.defaults["architecture"]).get("quick_gelu", False)  # type: ignore[attr-defined]


def test_the_wrong_crop_offset_is_noticed() -> None:
    reward = model("pickscore", "exact")
    assert reward.preprocessing is not None
    tall, prompts = ours.item("tall").expand(5, 3, 576, 320), list(ours.PROMPTS)
    torch.testing.assert_close(reward(tall, prompts), official("pickscore", "tall"), rtol=0, atol=1e-4)
    reward.preprocessing = dataclasses.replace(reward.preprocessing, fit=Crop(offset="torchvision"))
    assert (reward(tall, prompts) - official("pickscore", "tall")).abs().max() > 1e-2


def test_each_model_reads_curly_quotes_with_its_own_tokenizer() -> None:
    openai, hugging_face = OpenAITokenizer(), HuggingFaceTokenizer()
    straight, curly = ["a cat's hat"], ["a cat\N{RIGHT SINGLE QUOTATION MARK}s hat"]
    assert openai(straight).tolist()[0][:6] == hugging_face(straight).tolist()[0][:6]
    assert openai(curly).tolist()[0][:6] != hugging_face(curly).tolist()[0][:6]


def mps_head(selecting: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Our MPS from text and picture features on, for the two items of the golden file, as one batch."""
    head, reward = golden.read("mps")["head"], model("mps")
    features = golden.tensors(head["features"])
    ramp = torch.tensor([1.0, 9.0])[:, None, None] * (torch.arange(77)[:, None] / 76) ** 2
    text = features["text"] * ramp
    picture = features["image"].expand(2, -1, -1)
    looked = reward.cross_model(picture, text, selecting(text, features["condition"]))  # type: ignore[operator]
    return reward.tower.scale * cosine(looked[:, 0], features["end"])  # type: ignore[union-attr, operator]


def test_mps_scores_do_not_depend_on_batch_mates() -> None:
    """The official code divides by the best agreement of the whole batch; alone, ours is equal to it."""
    head = golden.read("mps")["head"]
    alone, together = torch.tensor(head["scores"]), torch.tensor(head["scores_in_batch_of_two"])
    assert (alone - together).abs().max() > 0.01
    torch.testing.assert_close(mps_head(selected), alone, rtol=0, atol=1e-4)


def test_mps_without_its_mask_is_noticed() -> None:
    everything = mps_head(lambda text, _: torch.ones(text.shape[:2], dtype=torch.bool))
    assert (everything - torch.tensor(golden.read("mps")["head"]["scores"])).abs().max() > 0.005


def test_hpsv2_takes_pictures_whose_longest_side_is_224() -> None:
    """The official code skips the padding too and crashes; padded by hand, it gives what ours does."""
    assert "must match the size" in golden.read("hpsv2")["errors"]["longest_224"]
    reward = model("hpsv2", "exact")
    scores = reward(ours.item("longest_224").expand(5, 3, 160, 224), list(ours.PROMPTS))
    torch.testing.assert_close(scores, official("hpsv2", "longest_224_padded"), rtol=0, atol=1e-5)


def test_hpsv2_takes_pictures_with_an_alpha_channel(tmp_path: Path) -> None:
    """The official code hands four channels to the network and crashes."""
    assert "4 channels" in golden.read("hpsv2")["errors"]["rgba"]
    pixels = (ours.item("square") * 255).byte().permute(1, 2, 0).numpy()
    (tmp_path / "film").mkdir()
    opaque = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)
    Image.fromarray(opaque).save(tmp_path / "film" / "0.png")
    video = rk.read_video(tmp_path / "film")
    scores = model("hpsv2", "exact")(video.expand(5, 3, 256, 256), list(ours.PROMPTS))
    torch.testing.assert_close(scores, official("hpsv2", "square"), rtol=0, atol=1e-5)
    with pytest.raises(rk.BadInputError, match=r"\(image, 3, height, width\): got \(5, 4, 256, 256\)"):
        model("hpsv2")(torch.rand(5, 4, 256, 256), list(ours.PROMPTS))


def test_hpsv2_of_2023_resized_without_antialias() -> None:
    reward = model("hpsv2", "exact")
    assert reward.preprocessing is not None
    wide = ours.item("wide").expand(5, 3, 256, 432)
    today = reward(wide, list(ours.PROMPTS))
    reward.preprocessing = dataclasses.replace(reward.preprocessing, fit=PadToSquare(antialias=False))
    assert (reward(wide, list(ours.PROMPTS)) - today).abs().max() > 1e-3


def test_tokens_padded_after_the_end_do_not_reach_pickscore() -> None:
    """Pads equal the end token; pooling takes the first of them."""
    tokens = HuggingFaceTokenizer()(["a boat"])
    assert tokens[0].argmax() == 3
    assert (tokens[0, 3:] == 49407).all()
