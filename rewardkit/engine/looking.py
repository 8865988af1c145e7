"""Films for the guards: the same prompts and the same noise at every look, from the base model on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from rewardkit.engine.denoise import Words
from rewardkit.engine.generate import generate
from rewardkit.engine.guards import Look, diversity, means, motion, saturated
from rewardkit.engine.lora import update_norm
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.engine.trial import Bench, seeded
from rewardkit.files import replacing
from rewardkit.reducers.reward import Reward

Films = Float[Tensor, "batch frame 3 height width"]
STRIP_ROWS, STRIP_FRAMES, STRIP_HEIGHT = 6, 8, 160
SEED = 7_919  # of the looks' films; apart from those that a training or a user makes


class Looker:
    """Makes the films of a look and measures them."""

    def __init__(
        self,
        bench: Bench,
        config: FinetuneConfig,
        held_out: Mapping[str, Reward],
        prompts: Sequence[str],
        words: Callable[[Sequence[str]], Words],
    ) -> None:
        self._bench, self._config, self._held_out, self._words = bench, config, held_out, words
        self._prompts = [p for p in prompts[: config.guards.prompts] for _ in range(config.guards.seeds)]

    @torch.no_grad()
    def look(self, step: int, video: Films) -> Look:
        """What `films` show at `step`."""
        rewards = {self._bench.reward.name: self._bench.reward, **self._held_out}
        scores = {name: self._scores(reward, video) for name, reward in rewards.items()}
        mean, error = means(scores)
        return Look(
            step=step,
            reward=mean.pop(self._bench.reward.name),
            held_out=mean,
            error=error,
            motion=motion(video),
            diversity=diversity(video, self._config.guards.seeds),
            saturated=saturated(video),
            lora_norm=update_norm(self._bench.generator),
        )

    def films(self) -> Films:
        """As many a prompt as the guards' settings say, films of a prompt together."""
        return generate(
            self._bench.generator,
            self._prompts,
            steps=self._config.walk_steps,
            guidance=self._config.objective.scale().scale,
            seed=SEED,
            shape=self._bench.shape,
            batch_size=self._config.films_at_once or self._config.batch_size,
            words=self._words,
        )

    def _scores(self, reward: Reward, video: Films) -> Tensor:
        device, found = self._bench.device, []
        for number, (film, prompt) in enumerate(zip(video, self._prompts, strict=True)):
            random = seeded("look", number)
            found.append(reward(film[None].to(device), [prompt], generator=random).cpu())
        return torch.cat(found)


def write_strip(films: Films, path: Path) -> None:
    """A picture with a row a film, of some films evenly chosen and some frames of each.

    Raises:
        OutputError: it cannot be written.
    """
    rows = torch.linspace(0, len(films) - 1, min(STRIP_ROWS, len(films))).round().long()
    frames = torch.linspace(0, films.shape[1] - 1, min(STRIP_FRAMES, films.shape[1])).round().long()
    chosen = films[rows][:, frames].permute(0, 3, 1, 4, 2)  # row, height, frame, width, colour
    pixels = (chosen * 255).round().byte().flatten(2, 3).flatten(0, 1)
    picture = Image.fromarray(pixels.cpu().numpy())
    most = STRIP_HEIGHT * len(rows)
    if picture.height > most:
        picture = picture.resize((picture.width * most // picture.height, most), Image.Resampling.LANCZOS)
    with replacing(path) as draft, draft.open("wb") as file:
        picture.save(file, "PNG")
