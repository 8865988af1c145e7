from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

import rewardkit as rk
from rewardkit import conformance
from rewardkit.rewards.catalog import create_model, reward_settings
from tests.judges import Brightness, GivesNan, LastMinusFirst, PromptLength


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [name for name in rk.list_rewards() if not reward_settings(name)])
def test_every_reward_that_ships_conforms(name: str, check: Callable[[object], None]) -> None:
    check(create_model(name, device="cpu"))


@pytest.mark.parametrize("model", [Brightness(), PromptLength(), LastMinusFirst()], ids=lambda m: m.card.name)
def test_honest_rewards_pass(model: conformance.Model) -> None:
    conformance.check_reward(model)


class SharesABatch(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward(images) / images.mean()


class AlwaysFirstPrompt(PromptLength):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        assert prompts is not None
        return super().forward(images, [prompts[0]] * len(images))


class Detached(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward(images).detach()


class Rounded(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward((images * 255).round() / 255)


class SilentlyBlind(Brightness):
    card = rk.RewardCard(name="blind", differentiable=False)


class Trains(Brightness):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return self.head(super().forward(images)[:, None])[:, 0]


class Drops(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward(nn.functional.dropout(images, training=True))


class OnlyFloat32(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward(images).float()


class Misfiled(LastMinusFirst):
    card = rk.RewardCard(name="misfiled", video_level=False)


class MistakesBytes(LastMinusFirst):
    takes_bytes = True

    def forward(self, video: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward(video.float() if video.dtype == torch.uint8 else video)


class MeanOfAll(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images.mean()


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (SharesABatch(), "one by one.*depend on another's pixels"),
        (AlwaysFirstPrompt(), "one by one"),
        (Detached(), "promises a gradient and gives none"),
        (Rounded(), "has a gradient of zero"),
        (SilentlyBlind(), "must refuse pixels that want a gradient"),
        (Trains(), "weights that train: head.weight"),
        (Drops(), "gave two scores for one input"),
        (OnlyFloat32(), "gave torch.float32 for float64 pixels"),
        (Misfiled(), "card.video_level is False, not True"),
        (MistakesBytes(), "for bytes, "),
        (MeanOfAll(), r"gave shape \(\) for 3 items"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_promise_is_found_and_named(model: conformance.Model, sentence: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(rk.ConformanceError, match=sentence):
        conformance.check_reward(model)


def test_a_reward_that_gives_nan_is_found() -> None:
    class Bright(GivesNan):
        def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
            return super().forward(images + 1)

    with pytest.raises(rk.ConformanceError, match=r"gave .nan, nan, nan."):
        conformance.gives_one_finite_number_an_item(Bright())
