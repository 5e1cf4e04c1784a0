"""The server around the app: what happens once, before the first visitor."""

from __future__ import annotations

import gc
import importlib
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cbam_viz.ui import networks
from cbam_viz.ui.errors import show_unexpected

__all__ = ["SCRIPT", "preload", "show_unexpected"]

SCRIPT = Path(__file__).with_name("script.py")
SOON_NEEDED = ("pandas", "pyarrow", *(f"cbam_viz.ui.{page}" for page in ("explore", "gallery")))
"""What Streamlit and the pages would import in the middle of a first visit."""

log = logging.getLogger("cbam_viz.app")


@asynccontextmanager
async def preload(_app: Any) -> AsyncIterator[None]:
    """Start importing PyTorch and loading the default network while the server comes up."""
    threading.Thread(target=_warm_up, name="cbam-viz-preload", daemon=True).start()
    yield


def _warm_up() -> None:
    """Whatever fails here fails again, with a sentence, on the page that needs it."""
    try:
        importlib.import_module("cbam_viz.ui.shell")  # what the first visitor needs first
        networks.import_torch()
        networks.load_default()
        for name in SOON_NEEDED:
            importlib.import_module(name)
        # Streamlit collects garbage after every run. Without this, each time Python would go
        # through the million objects of PyTorch and timm, which live as long as the server does.
        gc.collect()
        gc.freeze()
    except Exception:
        log.warning("the default network could not be loaded in advance", exc_info=True)
