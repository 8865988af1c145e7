"""Low-rank updates: what they change, how they are switched, saved and read."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rewardkit.engine.lora import FILE, LoraSettings, add_lora, load_lora, lora_at, lora_weights, save_lora, update_norm
from rewardkit.errors import BadCheckpointError, OutputError, UsageError
from rewardkit_adapters.modelscope import ModelScope
from tests.engine.toy import Toy, trained_lora


class Twin(Toy):
    """Two experts share its walk."""

    name = "twin"

    def __init__(self) -> None:
        super().__init__()
        self.other = Toy(seed=1).denoiser

    def denoisers(self) -> dict[str, nn.Module]:
        return {"first": self.denoiser, "second": self.other}


class Wide(Toy):
    """Large enough for statistics of what is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.denoiser.mix = nn.Linear(1000, 8, bias=False)


def output(denoiser: nn.Module) -> Tensor:
    random = torch.Generator().manual_seed(3)
    x, words = torch.randn(2, 3, 6, 4, 5, generator=random), torch.randn(2, 2, generator=random)
    found: Tensor = denoiser(x, torch.tensor(7.0), words)
    return found


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond that many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_fresh_lora_changes_nothing_and_gradient_reaches_its_second_matrices_alone() -> None:
    toy = Toy()
    base = output(toy.denoiser)
    weights = add_lora(toy, LoraSettings(rank=2))
    fresh = output(toy.denoiser)
    assert torch.equal(fresh, base)
    fresh.pow(2).sum().backward()
    assert len(weights) == 4
    for name, weight in weights.items():
        assert weight.grad is not None
        assert bool(weight.grad.any()) == (".lora_B." in name), name
    assert all(weight.grad is None for name, weight in toy.denoiser.named_parameters() if ".lora_" not in name)


def test_the_update_is_its_two_matrices_times_alpha_over_rank() -> None:
    toy = Toy()
    base = {name: getattr(toy.denoiser, name).weight.clone() for name in ("mix", "told")}
    weights = trained_lora(toy, settings=LoraSettings(rank=2, alpha=3.0))
    whole = Toy()
    for name, weight in base.items():
        down, up = (weights[f"denoiser.{name}.lora_{part}.default.weight"].data for part in "AB")
        getattr(whole.denoiser, name).weight.data = weight + 1.5 * up @ down
    torch.testing.assert_close(output(toy.denoiser), output(whole.denoiser))


def test_first_matrices_are_drawn_by_their_seed_with_deviation_one_over_rank_and_leave_other_draws_alone() -> None:
    drawn = []
    for seed in (1, 1, 2):
        toy = Wide()
        before = torch.random.get_rng_state()
        weights = add_lora(toy, LoraSettings(rank=4, seed=seed, targets=("mix",)))
        assert torch.equal(torch.random.get_rng_state(), before)
        drawn.append(next(weight.data for name, weight in weights.items() if ".lora_A." in name))
        torch.rand(seed)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].std().item() == pytest.approx(0.25, rel=0.05)  # 4000 draws


def test_weights_are_float32_in_a_model_of_half_precision() -> None:
    toy = Toy()
    toy.denoiser.half()
    assert {weight.dtype for weight in add_lora(toy, LoraSettings()).values()} == {torch.float32}
    assert toy.denoiser.mix.base_layer.weight.dtype == torch.float16


def test_both_experts_of_a_walk_have_a_lora() -> None:
    twin = Twin()
    weights = trained_lora(twin)
    assert {name.partition(".")[0] for name in weights} == {"first", "second"}
    base = [output(Toy(seed=seed).denoiser) for seed in (0, 1)]
    with lora_at(twin, 0.0):
        assert all(torch.equal(output(d), b) for d, b in zip(twin.denoisers().values(), base, strict=True))
    assert not any(torch.equal(output(d), b) for d, b in zip(twin.denoisers().values(), base, strict=True))


def test_strength_zero_is_the_base_model_bit_for_bit_and_the_lora_is_back_afterwards() -> None:
    toy = Toy()
    base = output(toy.denoiser)
    trained_lora(toy)
    trained = output(toy.denoiser)
    with lora_at(toy, 0.0):
        assert torch.equal(output(toy.denoiser), base)
    assert torch.equal(output(toy.denoiser), trained)
    assert not torch.equal(trained, base)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_the_lora_is_back_after_an_exception(strength: float) -> None:
    toy = Toy()
    weights = trained_lora(toy)
    trained = output(toy.denoiser)
    with pytest.raises(ZeroDivisionError), lora_at(toy, strength):
        raise ZeroDivisionError
    assert torch.equal(output(toy.denoiser), trained)
    assert all(weight.requires_grad for weight in weights.values())


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_what_takes_gradient_does_not_change(strength: float) -> None:
    """One weight is frozen by the user; peft itself would let all LoRA weights take gradient again."""
    toy = Toy()
    next(iter(trained_lora(toy).values())).requires_grad_(False)
    before = {name: weight.requires_grad for name, weight in toy.denoiser.named_parameters()}
    with lora_at(toy, strength):
        pass
    assert {name: weight.requires_grad for name, weight in toy.denoiser.named_parameters()} == before
    assert sum(before.values()) == 3


def test_the_output_is_linear_in_the_strength() -> None:
    toy = Toy()
    trained_lora(toy, settings=LoraSettings(rank=2, alpha=3.0))
    found = {}
    for strength in (0.0, 0.25, 1.0, -1.0, 2.0):
        with lora_at(toy, strength):
            found[strength] = output(toy.denoiser)
    for strength, there in found.items():
        torch.testing.assert_close(there, found[0.0] + strength * (found[1.0] - found[0.0]), atol=1e-5, rtol=1e-5)
    assert torch.equal(found[1.0], output(toy.denoiser))


def test_strengths_inside_each_other_multiply_and_the_base_stays_the_base() -> None:
    toy = Toy()
    base = output(toy.denoiser)
    trained_lora(toy)
    with lora_at(toy, 0.5):
        half = output(toy.denoiser)
        with lora_at(toy, 0.0):
            assert torch.equal(output(toy.denoiser), base)
        assert torch.equal(output(toy.denoiser), half)
    with lora_at(toy, 0.0):
        for inner in (1.0, 0.0):
            with lora_at(toy, inner):
                assert torch.equal(output(toy.denoiser), base)
            assert torch.equal(output(toy.denoiser), base)


def test_a_lora_that_was_off_stays_off() -> None:
    toy = Toy()
    base = output(toy.denoiser)
    trained_lora(toy)
    for layer in (toy.denoiser.mix, toy.denoiser.told):
        layer.enable_adapters(False)
    for strength in (0.0, 0.5):
        with lora_at(toy, strength):
            assert torch.equal(output(toy.denoiser), base)
        assert torch.equal(output(toy.denoiser), base)


def test_without_a_lora_any_strength_is_the_base() -> None:
    toy = Toy()
    base = output(toy.denoiser)
    with lora_at(toy, 0.5):
        assert torch.equal(output(toy.denoiser), base)
    assert lora_weights(toy) == {}


@pytest.mark.parametrize("settings", [LoraSettings(rank=2), LoraSettings(rank=3, alpha=7.5, targets=("told",))])
def test_saved_and_loaded_it_gives_the_same_bits(tmp_path: Path, settings: LoraSettings) -> None:
    toy, other = Toy(), Toy()
    trained_lora(toy, settings=settings)
    path = save_lora(toy, settings, tmp_path, {"step": "7"})
    assert load_lora(other, tmp_path) == settings
    assert torch.equal(output(other.denoiser), output(toy.denoiser))
    assert not torch.equal(output(other.denoiser), output(Toy().denoiser))
    assert load_lora(Toy(), path) == settings, "the file itself will do, too"


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    toy, settings = Toy(), LoraSettings(rank=2, alpha=5.0)
    add_lora(toy, settings)
    path = save_lora(toy, settings, tmp_path, {"step": "7", "backbone": "a fact cannot say otherwise"})
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata.keys() == {"backbone", "settings", "step"}
    assert (metadata["backbone"], metadata["step"]) == ("toy", "7")
    assert LoraSettings.model_validate_json(metadata["settings"]) == settings
    assert load_file(path).keys() == lora_weights(toy).keys()


@pytest.mark.parametrize(
    "other", [LoraSettings(rank=3, alpha=4.0), LoraSettings(rank=2), LoraSettings(rank=2, alpha=2)]
)
def test_settings_of_another_lora_are_not_written(tmp_path: Path, other: LoraSettings) -> None:
    """As when a trained LoRA is loaded and a configuration of another scale goes on with it."""
    toy = Toy()
    add_lora(toy, LoraSettings(rank=2, alpha=4.0))
    with lora_at(toy, 0.5):  # which changes no setting
        save_lora(toy, LoraSettings(rank=2, alpha=4.0), tmp_path, {})
    message = r"^the LoRA in toy has rank 2 and alpha 4: the settings say \d and \d$"
    with pytest.raises(UsageError, match=message):
        save_lora(toy, other, tmp_path / "other", {})
    assert not (tmp_path / "other").exists()


def test_a_lora_of_another_backbone_is_refused(tmp_path: Path) -> None:
    twin = Twin()
    add_lora(twin, LoraSettings())
    path = save_lora(twin, LoraSettings(), tmp_path, {})
    with pytest.raises(BadCheckpointError, match=f"^{path} is a LoRA of twin, not of toy$"):
        load_lora(Toy(), tmp_path)


def test_tensors_that_nobody_signed_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / FILE)
    with pytest.raises(BadCheckpointError, match=r"is a LoRA of no backbone that it names, not of toy$"):
        load_lora(Toy(), tmp_path)


@pytest.mark.parametrize("settings", ["", "{", '{"rank": 0}', '{"rank": 4, "dropout": 0.1}'])
def test_settings_that_cannot_be_read_are_refused(tmp_path: Path, settings: str) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / FILE, metadata={"backbone": "toy", "settings": settings})
    with pytest.raises(BadCheckpointError, match=r"^\S+ has settings that cannot be read: [^\n]+$"):
        load_lora(Toy(), tmp_path)


@pytest.mark.parametrize("left", [0, 5, 100, -1])
def test_a_cut_file_is_refused(tmp_path: Path, left: int) -> None:
    toy = Toy()
    add_lora(toy, LoraSettings())
    path = save_lora(toy, LoraSettings(), tmp_path, {})
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(BadCheckpointError, match=rf"^cannot read the LoRA at {path}: [^\n]+$"):
        load_lora(Toy(), tmp_path)


def test_tensors_of_another_shape_are_refused(tmp_path: Path) -> None:
    toy = Toy()
    add_lora(toy, LoraSettings(rank=2))
    tensors = {name: weight.data for name, weight in lora_weights(toy).items()}
    metadata = {"backbone": "toy", "settings": LoraSettings(rank=3).model_dump_json()}
    save_file(tensors, tmp_path / FILE, metadata=metadata)
    with pytest.raises(BadCheckpointError, match=r"holds 4 tensors that do not fit the 4 of this LoRA$"):
        load_lora(Toy(), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=f"^no LoRA at {place}"):
            load_lora(Toy(), place)


@pytest.mark.parametrize(
    ("targets", "named"), [(("to_q",), "to_q"), (("mix", "tolt"), "tolt"), (("ix",), "ix"), ((), r"\(none given\)")]
)
def test_a_target_that_matches_no_layer_is_named_and_nothing_changed(targets: tuple[str, ...], named: str) -> None:
    toy = Toy()
    with pytest.raises(UsageError, match=f"^toy: no layer of denoiser matches the LoRA targets {named}$"):
        add_lora(toy, LoraSettings(targets=targets))
    assert lora_weights(toy) == {}


def test_a_layer_that_takes_no_lora_is_named() -> None:
    toy = Toy()
    toy.denoiser.norm = nn.GroupNorm(1, 3)
    with pytest.raises(UsageError, match=r"^toy: peft puts no LoRA into denoiser: Target module GroupNorm[^\n]+$"):
        add_lora(toy, LoraSettings(targets=("norm",)))


def test_a_second_lora_is_refused(tmp_path: Path) -> None:
    toy = Toy()
    add_lora(toy, LoraSettings())
    save_lora(toy, LoraSettings(), tmp_path, {})
    for again in (lambda: add_lora(toy, LoraSettings()), lambda: load_lora(toy, tmp_path)):
        with pytest.raises(
            UsageError, match=r"^toy: denoiser has a LoRA already; create the backbone anew for another$"
        ):
            again()


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    toy = Toy()
    add_lora(toy, LoraSettings())
    path = save_lora(toy, LoraSettings(), tmp_path, {})
    old = path.read_bytes()
    for weight in lora_weights(toy).values():
        weight.data.fill_(1.0)
    with full_disk(len(old) // 2), pytest.raises(OutputError, match=rf"^cannot write {path}: [^\n]+$"):
        save_lora(toy, LoraSettings(), tmp_path, {})
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
    save_lora(toy, LoraSettings(), tmp_path, {})
    assert path.read_bytes() != old


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_a_disk_that_fills_up_half_way_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    toy = Toy()
    add_lora(toy, LoraSettings())
    path = save_lora(toy, LoraSettings(), tmp_path, {})
    old = path.read_bytes()

    def half(tensors: object, draft: Path, metadata: object) -> None:
        draft.write_bytes(old[: len(old) // 2])
        raise error

    monkeypatch.setattr("rewardkit.engine.lora.save_file", half)
    with pytest.raises(OutputError, match=rf"^cannot write {path}: [^\n]+$"):
        save_lora(toy, LoraSettings(), tmp_path, {})
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    toy = Toy()
    add_lora(toy, LoraSettings())
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^cannot write "):
        save_lora(toy, LoraSettings(), tmp_path / "file" / "run", {})


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 0.1}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="LoraSettings"):
        LoraSettings(**settings)


def test_the_length_of_the_update_is_that_of_the_merged_weights() -> None:
    generator = ModelScope.tiny()
    add_lora(generator, LoraSettings(rank=2, alpha=6))
    assert update_norm(generator) == 0
    with torch.no_grad():
        for weight in lora_weights(generator).values():
            weight.fill_(0.1)
    pairs = [weight.shape for weight in lora_weights(generator).values()]
    ends = [(b[0], a[1]) for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
    wanted = sum((2 * 0.1 * 0.1 * 6 / 2) ** 2 * out * into for out, into in ends) ** 0.5
    assert update_norm(generator) == pytest.approx(wanted, rel=1e-5)
