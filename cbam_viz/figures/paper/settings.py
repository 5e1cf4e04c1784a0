"""What matplotlib takes from its global settings and from nowhere else.

Nearly everything in a figure is told its size, colour and font outright. What is left is set
here for as long as something is drawn or written, under a lock, and put back one by one: other
threads' changes to other settings survive, which `matplotlib.rc_context` would undo.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

_SETTINGS: dict[str, Any] = {
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    "pdf.use14corefonts": False,
    "pdf.inheritcolor": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "cbam-viz",
    "svg.image_inline": True,
    "path.simplify": True,
    "path.simplify_threshold": 1 / 9,
    "path.snap": True,
    "path.sketch": None,
    "path.effects": [],
    "agg.path.chunksize": 0,
    "text.hinting": "no_hinting",  # letters keep the widths that the layout counts on
    "text.antialiased": True,
    "text.usetex": False,
    "lines.antialiased": True,
    "lines.scale_dashes": True,
    "patch.antialiased": True,
    "hatch.linewidth": 1.0,
}

_lock = threading.Lock()


@contextmanager
def pinned_settings() -> Iterator[None]:
    """Hold the settings that decide a figure's bytes; one thread at a time."""
    with _lock:
        before = {key: mpl.rcParams[key] for key in _SETTINGS if key in mpl.rcParams}
        try:
            for key in before:
                mpl.rcParams[key] = _SETTINGS[key]
            yield
        finally:
            for key, value in before.items():
                mpl.rcParams[key] = value
