import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {
        "errors",
        "files",
        "limits",
        "processes",
        "storage",
        "device",
        "types",
        "spec",
        "registry",
        "config",
        "pixels",
        "video",
        "weights",
        "serving",
    },
    {"rewards"},
    {"conformance", "reducers", "miniworld"},
    {"scoring", "engine"},
    {"bench", "doctor"},
    {"cli"},
]
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
LAZY = {"diffusers", "transformers", "open_clip", "timm", "peft", "accelerate", "ray", "pyarrow"}
SOURCES = sorted((ROOT / "rewardkit").rglob("*.py"))


def imports(path: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "rewardkit").parts[0].removesuffix(".py")


def test_every_part_of_the_package_has_its_layer() -> None:
    assert {part_of(path) for path in SOURCES} == set(HEIGHT) | {"__init__", "__main__"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    own = part_of(path)
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top != "rewardkit_adapters", f"{path} imports adapters: they are found by entry point"
        if top == "rewardkit" and rest and own in HEIGHT:
            other = rest.partition(".")[0]
            allowed = other == own or HEIGHT[other] < HEIGHT[own]
            same_ground = HEIGHT[other] == HEIGHT[own] == 0
            assert allowed or same_ground, f"{own} must not import {other}"


def test_heavy_libraries_stay_in_the_leaf_that_needs_them() -> None:
    importing = {lib for path in SOURCES for lib in LAZY & {name.partition(".")[0] for name in imports(path)}}
    for library in importing:
        users = [path for path in SOURCES if library in {name.partition(".")[0] for name in imports(path)}]
        assert len(users) == 1 or {path.parent.name for path in users} == {"towers"}, (
            f"{library} is imported in {users}"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    """Within a function, so that importing a reward's file for its card loads none of them."""
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [a.name for n in top for a in n.names if isinstance(n, ast.Import)]
    names += [n.module or "" for n in top if isinstance(n, ast.ImportFrom)]
    assert not LAZY & {name.partition(".")[0] for name in names}
