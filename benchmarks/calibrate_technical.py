"""Fits the constants of the `technical` reward and prints them, ready for rewardkit/rewards/technical.py.

    python benchmarks/calibrate_technical.py

Every measure has one defect of its own. Its curve is put so that the average clean clip gets three quarters
of the measure's weight and the average clip with the strongest own defect one quarter. The weights are those
nearest to equal, none below a tenth, with which each step of each defect lowers the score by a hundredth.

Fitted on 8 clips; the other 6 of ../shared/data are held out and only reported, and the other way round as a check.
Held out are the constants only: which measures to combine was chosen with all 14 clips in view.
"""

from __future__ import annotations

import json
import math

import torch
from clips import FOLDERS, clip_name, find_clips, sample_frames
from recording import record
from torch import Tensor

from rewardkit.bench.defects import PICTURE
from rewardkit.pixels import luminance
from rewardkit.rewards.technical import measures

OWN = {
    "sharpness": "blur",
    "noise": "noise",
    "contrast": "low contrast",
    "exposure": "darkening",
    "blockiness": "jpeg",
}
FIT = ("instructvideo/", "wan21_base/1", "wan21_base/2")
FRAMES = 2
LEAST_WEIGHT, MARGIN, EQUALITY = 0.1, 0.01, 0.02


def measure_clip(clip: Tensor) -> Tensor:
    """(defect, strength 0..5, measure), averaged over frames."""
    rows = []
    for defect in OWN.values():
        spoiled = PICTURE[defect].clips(clip)
        rows.append(torch.stack([torch.stack([*measures(luminance(one)).values()]).mean(1) for one in spoiled]))
    return torch.stack(rows)


def fit_weights(steps: Tensor) -> Tensor:
    """Weights of the parts; `steps` is (step, part), how much each part falls in each step."""
    logits = torch.zeros(steps.shape[1], requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.03)
    for _ in range(1000):
        weights = LEAST_WEIGHT + (1 - LEAST_WEIGHT * len(logits)) * logits.softmax(0)
        missing = ((MARGIN - steps @ weights).clamp(min=0) / MARGIN).square().mean()
        loss = missing + EQUALITY * (weights - 1 / len(logits)).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights.detach()


def calibrate(measured: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre, width and weight of each part, rounded; `measured` is (clip, defect, strength 0..5, measure)."""
    own = torch.arange(len(OWN))
    clean = measured[:, 0, 0].mean(0)
    worst = measured[:, own, -1, own].mean(0)
    centre = ((clean + worst) / 2).round(decimals=3)
    width = ((clean - worst) / (2 * math.log(3))).round(decimals=3)
    values = torch.sigmoid((measured - centre) / width)
    weight = fit_weights((values[:, :, :-1] - values[:, :, 1:]).flatten(0, 2)).round(decimals=2)
    weight[weight.argmax()] += 1 - weight.sum()  # what rounding took away
    return centre, width, weight


def report(measured: Tensor, constants: tuple[Tensor, Tensor, Tensor]) -> dict[str, object]:
    """Share of steps that lower the score, by defect, the smallest fall, and the scores of the clean clips."""
    centre, width, weight = constants
    scores = torch.sigmoid((measured - centre) / width) @ weight
    falls = scores[:, :, :-1] - scores[:, :, 1:]
    right = (falls > 0).double().mean((0, 2)).tolist()
    return {
        "right_steps": {defect: round(share, 3) for defect, share in zip(OWN.values(), right, strict=True)},
        "smallest_fall": round(falls.min().item(), 4),
        "clean_scores": [round(score, 3) for score in scores[:, 0, 0].tolist()],
    }


def main() -> None:
    torch.set_num_threads(1)
    paths = find_clips(FOLDERS)
    measured = torch.stack([measure_clip(sample_frames(path, FRAMES)) for path in paths])
    chosen = torch.tensor([clip_name(path).startswith(FIT) for path in paths])
    constants = calibrate(measured[chosen])
    swapped = calibrate(measured[~chosen])
    table = zip(*(constant.tolist() for constant in constants), strict=True)
    result = {
        "fitted_on": [clip_name(path) for path, fit in zip(paths, chosen, strict=True) if fit],
        "held_out_clips": [clip_name(path) for path, fit in zip(paths, chosen, strict=True) if not fit],
        "centre_width_weight": {
            name: [round(number, 3) for number in row] for name, row in zip(OWN, table, strict=True)
        },
        "fitted": report(measured[chosen], constants),
        "held_out": report(measured[~chosen], constants),
        "swapped: fitted on the held-out clips, reported on the others": report(measured[chosen], swapped),
    }
    record("technical_calibration", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
