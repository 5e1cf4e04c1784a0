"""A network that takes milliseconds, and photos to show it."""

from __future__ import annotations

from pathlib import Path

import pytest

import cbam_viz
from cbam_viz.models import LoadedModel
from tests.cli.conftest import write_photo, write_tiny


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-10-t with CBAM for 64 pixels and five classes."""
    return write_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny.safetensors", default=True)


@pytest.fixture(scope="session")
def loaded(checkpoint: Path) -> LoadedModel:
    """The same, ready to be looked at."""
    return cbam_viz.load_model(checkpoint)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty photos of two classes and several shapes, one of which is no photo."""
    folder = tmp_path / "photos"
    for number in range(20):
        size = ((60, 90), (90, 60), (64, 64))[number % 3]
        path = folder / ("ant" if number % 2 else "bee") / f"{number:02}.png"
        write_photo(path, size=size, seed=number)
    (folder / "bee" / "10.png").write_bytes(b"no photo")
    return folder
