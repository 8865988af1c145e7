import importlib
import sys
from pathlib import Path

import pytest

import rewardkit as rk
from rewardkit.registry import REWARDS, Registry


def install(folder: Path, distribution: str, entries: str) -> None:
    """What pip leaves behind of a package that offers rewards."""
    metadata = folder / f"{distribution}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[rewardkit.rewards]\n{entries}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def test_a_package_offers_rewards_by_entry_point_and_is_imported_only_when_named(site: Path) -> None:
    (site / "others.py").write_text("from tests.judges import Brightness as Theirs\n")
    install(site, "others", "theirs-v1.5 = others:Theirs\nbroken = no_such_module:X")
    assert rk.list_rewards("theirs*") == ["theirs-v1.5"]
    assert "others" not in sys.modules
    assert rk.create_reward("0.5*theirs-v1.5").name == "0.5*brightness"
    with pytest.raises(rk.UsageError, match="cannot import the reward no_such_module:X"):
        rk.create_reward("broken")


def test_two_packages_with_one_name_are_a_clear_error(site: Path) -> None:
    install(site, "one", "twice = tests.judges:Brightness")
    install(site, "two", "twice = tests.judges:Redness")
    with pytest.raises(rk.UsageError, match=r"two packages offer a reward called 'twice'.*name it as module:Attribute"):
        rk.create_reward("twice")


def test_what_is_no_reward_is_refused(site: Path) -> None:
    (site / "odd.py").write_text(
        "import rewardkit as rk\n"
        "class NoCard(rk.ImageReward):\n    def forward(self, images, prompts=None):\n        return images\n"
        "class NotAReward:\n    card = rk.RewardCard(name='x')\n"
        "class Abstract(rk.ImageReward):\n    card = rk.RewardCard(name='x')\n"
        "raise_me = 3\n"
    )
    with pytest.raises(rk.UsageError, match=r"odd:NoCard says nothing of itself: give it `card = RewardCard"):
        rk.create_reward("odd:NoCard")
    with pytest.raises(rk.UsageError, match="gives a NotAReward; expected an ImageReward or a TemporalReward"):
        rk.create_reward("odd:NotAReward")
    with pytest.raises(rk.UsageError, match="cannot build odd:Abstract: TypeError"):
        rk.create_reward("odd:Abstract")


def test_a_file_called_like_a_module_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("from tests.judges import Brightness\nclass Mine(Brightness):\n    pass\n")
    assert rk.create_reward(f"{tmp_path}/random.py:Mine").name == "brightness"
    assert sys.modules["random"].__file__ != str(tmp_path / "random.py")


def test_a_file_that_raises_says_what(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0\n")
    for _ in range(2):  # a failed import must not be remembered as done
        with pytest.raises(rk.UsageError, match=r"bad.py:X: ZeroDivisionError"):
            REWARDS.load(f"{tmp_path}/bad.py:X")


def test_the_object_itself_is_a_reward() -> None:
    from tests.judges import Brightness

    assert rk.create_reward(Brightness()).name == "brightness"


def test_backbones_have_the_same_door(site: Path) -> None:
    install(site, "films", "")
    (site / "films-1.0.dist-info" / "entry_points.txt").write_text("[some.backbones]\ntiny = tests.judges:ramp\n")
    backbones = Registry("backbone", "some.backbones")
    assert backbones.names() == ["tiny"]
    with pytest.raises(rk.UnknownNameError, match="no backbone is called 'tinny': did you mean tiny"):
        backbones.load("tinny")


def test_every_reward_that_ships_is_registered_under_its_own_name() -> None:
    for name in rk.list_rewards():
        assert rk.reward_info(name).name == name


def test_a_data_folder_cannot_replace_an_installed_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "colorsys.py").write_text("raise SystemExit('run')\n")
    (tmp_path / "mine.py").write_text("import colorsys\nfrom tests.judges import Brightness as Mine\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = list(sys.path)
    rk.create_reward("technical")
    assert sys.path == before, "a reward that ships needs nothing of the current folder"
    assert rk.create_reward("mine:Mine").name == "brightness"


def test_an_edited_file_is_read_again_and_equal_names_stay_apart(tmp_path: Path) -> None:
    code = "import rewardkit as rk\nfrom tests.judges import Brightness\nclass R(Brightness):\n    number = {}\n"
    found = []
    for folder, number in (("a", 1), ("b", 2), ("a", 3)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "r.py").write_text(code.format(number))
        found.append(REWARDS.load(f"{tmp_path}/{folder}/r.py:R").number)
    assert found == [1, 2, 3]


def test_an_error_while_importing_is_not_taken_for_a_missing_name(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import math\nmath.no_such_thing\nclass R: pass\n")
    with pytest.raises(rk.UsageError, match=r"cannot import the reward .*no_such_thing"):
        REWARDS.load(f"{tmp_path}/bad.py:R")
