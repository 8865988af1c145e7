"""Pixels of chosen frames against those of whole films, and where their gradient goes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rewardkit.engine.generator import FilmShape
from rewardkit.engine.memory import Memory
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.decoding import latent_of
from tests.adapters.backbones import CASES, kind_of, noise, tiny

WINDOWED = [("cogvideox", "5b"), ("cogvideox", "1.5"), ("wan", "2.1"), ("wan", "2.2-5b")]
LATENTS = {"hunyuanvideo": 9, "latte": 25, "modelscope": 6, "animatediff": 6}  # of the others 5
STEPPED = {"cogvideox", "wan"}


def long_shape(backbone: Backbone) -> FilmShape:
    """So many latents that some frames do not need them all."""
    count = LATENTS.get(backbone.name, 5)
    return backbone.tiny_shape._replace(frames=1 + (count - 1) * backbone.frame_ratio)


def frames_of(shape: FilmShape) -> Tensor:
    """Of two films, from the first half."""
    half = shape.frames // 2
    return torch.tensor([[half - 1, 0], [1, half - 1]])


def latents_of(backbone: Backbone) -> Tensor:
    return noise(backbone, long_shape(backbone)).requires_grad_()


def set_to(name: str, kind: str, memory: Memory) -> Backbone:
    backbone = kind_of(name).tiny(kind)
    backbone.place(torch.device("cpu"), memory)
    return backbone


def chosen(film: Tensor, frames: Tensor) -> Tensor:
    return torch.stack([one[some] for one, some in zip(film, frames, strict=True)])


def gradient(pixels: Tensor, latents: Tensor) -> Tensor:
    weight = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(3))
    return torch.autograd.grad((pixels * weight).sum(), latents)[0]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_whole_film_is_that_of_the_autoencoder(name: str, kind: str) -> None:
    backbone = tiny(name, kind)
    shape = long_shape(backbone)
    with torch.no_grad():
        film = backbone.decode(noise(backbone, shape))
        full = set_to(name, kind, Memory(decode="full")).decode(noise(backbone, shape))
    assert film.shape == (2, shape.frames, 3, shape.height, shape.width)
    torch.testing.assert_close(film, full, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("save", [False, True], ids=["kept", "checkpointed"])
def test_chosen_frames_and_their_gradient_are_those_of_the_whole_film(name: str, kind: str, save: bool) -> None:
    backbone = set_to(name, kind, Memory(checkpoint_vae=save))
    whole = set_to(name, kind, Memory(decode="full"))
    latents, frames = latents_of(backbone), frames_of(long_shape(backbone))
    pixels, expected = backbone.decode(latents, frames), chosen(whole.decode(latents), frames)
    torch.testing.assert_close(pixels, expected, atol=1e-5, rtol=0)
    wanted = gradient(expected, latents)
    assert wanted.abs().max() > 1e-4
    torch.testing.assert_close(gradient(pixels, latents), wanted, atol=1e-5 * float(wanted.abs().max()), rtol=1e-3)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_only_what_frames_depend_on_is_decoded(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = kind_of(name).tiny(kind)
    shape = long_shape(backbone)
    seen: list[int] = []
    decoder = backbone.vae.decoder
    forward = decoder.forward

    def watched(z: Tensor, *given: object, **named: object) -> object:
        seen.append(z.shape[0] if backbone.frame_ratio == 1 else z.shape[2])
        return forward(z, *given, **named)

    monkeypatch.setattr(decoder, "forward", watched)
    frames = frames_of(shape)
    with torch.no_grad():
        backbone.decode(noise(backbone, shape), frames)
    last = int(latent_of(frames, backbone.frame_ratio).max()) + 1
    expected = {
        "ltx": [5],  # all
        "mochi": [last],
        "wan": [1] * last,
        "cogvideox": [3],
        "hunyuanvideo": [5, 5, 2],  # tiles begin every three latents; the last is cut away
    }
    assert seen == expected.get(name, [4])


@pytest.mark.parametrize(("name", "kind"), WINDOWED)
def test_a_window_gives_the_same_frames_and_gradient_to_its_own_latents_only(name: str, kind: str) -> None:
    backbone, whole = set_to(name, kind, Memory(decode="window")), tiny(name, kind)
    latents, frames = latents_of(backbone), torch.tensor([[13, 14], [14, 15]])  # all of the last step
    pixels, expected = backbone.decode(latents, frames), chosen(whole.decode(latents), frames)
    assert torch.equal(pixels, expected)
    found, wanted = gradient(pixels, latents), gradient(expected, latents)
    first = 3 + backbone.latent_shape(long_shape(backbone))[1] - 5  # 1.5 has one before the film
    inside = slice(first, None) if name == "cogvideox" else slice(4, None)
    torch.testing.assert_close(found[:, :, inside], wanted[:, :, inside], atol=1e-6, rtol=1e-4)
    assert found[:, :, inside].abs().max() > 1e-4
    assert not found[:, :, : inside.start].any()
    assert wanted[:, :, : inside.start].any(), "the whole film's gradient goes further back"


@pytest.mark.parametrize(("name", "kind"), WINDOWED)
def test_a_window_keeps_no_graph_outside(name: str, kind: str) -> None:
    kept: dict[str, int] = {}
    for way in ("exact", "window"):
        backbone = set_to(name, kind, Memory(decode=way))
        latents = noise(backbone, backbone.tiny_shape._replace(frames=33)).requires_grad_()
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, s=sizes: s.append(x.numel()) or x, lambda x: x):
            backbone.decode(latents, torch.tensor([[32], [31]]))
        kept[way] = sum(sizes)
    assert kept["window"] < 0.4 * kept["exact"]


@pytest.mark.parametrize("name", ["ltx", "hunyuanvideo"])
def test_leaving_out_later_latents_is_near_and_said_to_be_no_more(name: str) -> None:
    kind = kind_of(name).kinds[0]
    backbone, whole = set_to(name, kind, Memory(decode="prefix")), tiny(name, kind)
    shape = backbone.tiny_shape._replace(frames=1 + 3 * backbone.frame_ratio)
    frames = torch.tensor([[1, 2], [0, 1]])
    with torch.no_grad():
        apart = backbone.decode(noise(backbone, shape), frames) - chosen(whole.decode(noise(backbone, shape)), frames)
    assert 1e-4 < apart.abs().mean() < 0.2


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_films_become_latents_as_in_diffusers_and_back(name: str, kind: str) -> None:
    backbone = tiny(name, kind)
    shape = long_shape(backbone)
    video = torch.rand(2, *(shape.frames, 3, *shape[1:]), generator=torch.Generator().manual_seed(0))
    latents = backbone.encode(video)
    assert latents.shape == (2, *backbone.latent_shape(shape))
    assert torch.equal(latents, backbone.encode(video)), "the mean, not a draw"
    assert not latents.requires_grad
    with torch.no_grad():
        own = backbone.vae
        if backbone.frame_ratio == 1:
            pictures = (video * 2 - 1).flatten(0, 1)
            expected = own.decode(own.encode(pictures).latent_dist.mode()).sample.unflatten(0, (2, shape.frames))
        else:
            film = (video * 2 - 1).transpose(1, 2)
            timestep = (torch.zeros(2),) if kind == "0.9.1" else ()
            expected = own.decode(own.encode(film).latent_dist.mode(), *timestep).sample.transpose(1, 2)
        torch.testing.assert_close(backbone.decode(latents), (expected / 2 + 0.5).clamp(0, 1), atol=1e-4, rtol=0)
