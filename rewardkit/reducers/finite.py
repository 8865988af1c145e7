"""What a reward gives must be finite numbers: the first film for which it is not is named."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from rewardkit.errors import RewardFailedError


def check_finite(who: str, what: str, values: Float[Tensor, " film"], prompts: Sequence[str] | None) -> None:
    """Refuses values that are not finite.

    Args:
        who: gave them, the name of a reward.
        what: they are, such as `score`.
        values: one a film.
        prompts: one a film; None where films have none.

    Raises:
        RewardFailedError: one is NaN or infinite.
    """
    bad = (~values.isfinite()).nonzero().flatten().tolist()
    if bad:
        told = "" if prompts is None else f", {prompts[bad[0]]!r}"
        raise RewardFailedError(f"{who} gave a {what} of {values[bad[0]]} for film {bad[0] + 1} of {len(values)}{told}")
