"""The server around the app: what happens once, before the first visitor."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

from cbam_viz.ui.entries import ENTRIES
from cbam_viz.ui.errors import show_unexpected
from cbam_viz.ui.frame import frame

__all__ = ["MIDDLEWARE", "SCRIPT", "preload", "show_unexpected"]

MIDDLEWARE = (Middleware(frame),)

SCRIPT = Path(__file__).with_name("script.py")
SOON_NEEDED = (*(entry.module for entry in ENTRIES if not entry.heavy), "pandas", "pyarrow")
"""What the other pages would import in the middle of a visit."""
PATIENCE, PAUSE = 30.0, 2.0
"""Seconds to wait for a first visitor before the rest is imported, and then for the browser."""

first_page_served = threading.Event()
"""Set by the shell when a visitor's first page is complete."""

log = logging.getLogger("cbam_viz.app")


@asynccontextmanager
async def preload(_app: Any) -> AsyncIterator[None]:
    """Make the first page while the server comes up and the first browser loads its scripts."""
    threading.Thread(target=_warm_up, name="cbam-viz-preload", daemon=True).start()
    yield


def _warm_up() -> None:
    """Whatever fails here fails again, with a sentence, on the page that needs it."""
    try:
        with _nothing_collected():
            make_first_page()
        if first_page_served.wait(PATIENCE):
            time.sleep(PAUSE)
        with _nothing_collected():
            _make_colour_tables()
            for name in SOON_NEEDED:
                importlib.import_module(name)
    except Exception:
        log.warning("the first page could not be made in advance", exc_info=True)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Do not look for garbage meanwhile, and never among what is there afterwards.

    Imports make a million objects, which live as long as the server does. Going through them again
    and again takes a third of the time to the first page, and Streamlit collects after every run.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _make_colour_tables() -> None:
    from cbam_viz.render import COLORMAPS, lookup_table

    for colormap in COLORMAPS:
        lookup_table(colormap)


def leave_a_core_free() -> None:
    """For the browser and for other visitors: PyTorch's threads wait for the slowest of them.

    With every core taken by PyTorch, a busy machine of two cores loaded and ran a network five to
    ten times slower. Whoever sets OMP_NUM_THREADS has decided.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))


def make_first_page() -> None:
    """Load what a visitor without a link sees first, in the order in which the page needs it.

    The photo and its preview are on the page before PyTorch is imported, which takes seconds.
    """
    from cbam_viz.images import samples
    from cbam_viz.ui.drawing import pictures
    from cbam_viz.ui.session.link import Settings
    from cbam_viz.ui.sidebar import photos

    importlib.import_module("cbam_viz.ui.shell")
    photo = photos.sample_photo(samples()[0])
    pictures.preview(photo)
    from cbam_viz.ui.sidebar import networks

    networks.import_torch()
    leave_a_core_free()
    importlib.import_module(ENTRIES[0].module)
    from cbam_viz.ui import scene

    request = networks.default_request()
    if request is not None:
        scene.of_sample(photo.sha256, request, Settings().view, photo, networks.load(request))
