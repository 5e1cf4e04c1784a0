"""The app without a browser, on a small known network."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from cbam_viz.ui import scene
from cbam_viz.ui.server import SCRIPT
from tests.app_checkpoint import write_checkpoint
from tests.ui.streamlits import memory, turn_to


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    write_checkpoint(folder)
    return folder


@pytest.fixture
def open_app(checkpoint_folder, monkeypatch) -> Callable[..., AppTest]:
    """Open the app as a link with these parameters does."""

    def run(page: str = "", folder: Path = checkpoint_folder, **params: str) -> AppTest:
        monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(folder))
        scene.of_sample.clear()  # what all sessions of a server share, and tests must not
        app = AppTest.from_file(str(SCRIPT), default_timeout=60)
        for name, value in params.items():
            app.query_params[name] = value
        if page:
            app.run()
            turn_to(app, page)
            memory(app).linked = False  # opened there, not come from there
            app.query_params.clear()
            for name, value in params.items():
                app.query_params[name] = value
        return app.run()

    return run


@pytest.fixture
def png() -> bytes:
    """A photo with something in it."""
    rng = np.random.default_rng(0)
    pixels = np.full((90, 140, 3), (90, 120, 60), np.uint8)
    pixels[20:60, 30:80] = rng.integers(0, 255, (40, 50, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
