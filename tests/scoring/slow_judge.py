"""A reward that takes its time, so that a run can be killed in the middle."""

import time
from collections.abc import Sequence

from torch import Tensor

from tests.judges import Brightness


class Slow(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        time.sleep(0.02 * len(images) / 3)
        return super().forward(images)
