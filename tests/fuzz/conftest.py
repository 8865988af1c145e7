from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, load


@pytest.fixture(scope="session", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On a busy machine an import alone may take longer than a reader may."""
    folder = tmp_path_factory.mktemp("loaded")
    for name in TARGETS:
        load(name, folder)
    return folder
