"""A reward during whose third video somebody presses Ctrl-C, once."""

from collections.abc import Sequence

from torch import Tensor

from tests.judges import Brightness


class Interrupting(Brightness):
    calls = 0

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        type(self).calls += 1
        if self.calls == 3 * 6 - 5:  # six frames a video, one a batch
            raise KeyboardInterrupt
        return super().forward(images)
