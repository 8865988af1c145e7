"""Pictures and films that look a little like nature: 1/f texture, a smooth ground, crisp shapes; seeded."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

HEIGHT, WIDTH = 96, 128


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """(1, 3, height, width): half smooth ground, half texture, with eight discs and boxes; not square."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    falloff = 1 / np.maximum(np.hypot(fy, fx), 1 / width)
    texture = np.stack(
        [np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) * falloff).real for _ in range(3)]
    )
    texture = 0.06 * texture / texture.std() * (np.arange(width) > width / 2)
    ground = 0.5 + 0.25 * np.linspace(-1, 1, height)[None, :, None] * np.array([1, 0.8, 0.5])[:, None, None]
    film = ground + texture
    y, x = np.mgrid[:height, :width]
    for shape in range(8):
        colour = rng.uniform(0.1, 0.9, 3)[:, None]
        top, left = rng.integers(0, height), rng.integers(0, width)
        radius = rng.integers(4, 16)
        disc = (y - top) ** 2 + (x - left) ** 2 < radius**2
        box = (abs(y - top) < radius) & (abs(x - left) < radius)
        film[:, disc if shape % 2 else box] = colour
    return torch.from_numpy(film).float().clamp(0, 1).unsqueeze(0)


def film(seed: int, frames: int = 12, step: int = 1) -> Tensor:
    """(1, frame, 3, height, width): a window that moves evenly, `step` pixels a frame to the right."""
    wide = picture(seed, HEIGHT, WIDTH + step * frames)
    return torch.stack([wide[..., step * t : step * t + WIDTH] for t in range(frames)], dim=1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    kernel = torch.exp(-(torch.arange(-12.0, 13) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    planes = F.pad(images.flatten(0, 1).unsqueeze(1), (12, 12, 12, 12), mode="reflect")
    return F.conv2d(F.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).view_as(images)


def noisy(images: Tensor, sigma: float) -> Tensor:
    return images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


def compressed(images: Tensor, quality: int) -> Tensor:
    decoded = []
    for frame in (images * 255).round().byte().permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).float() / 255


def flattened(images: Tensor, left: float) -> Tensor:
    return images.mean() + left * (images - images.mean())


def greyed(images: Tensor, left: float) -> Tensor:
    grey = images.mean(1, keepdim=True)
    return grey + left * (images - grey)


def brightened(images: Tensor, factor: float) -> Tensor:
    return (images * factor).clamp(0, 1)
