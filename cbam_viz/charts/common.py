"""What all charts share: schema, colours that read on light and dark pages, checks of values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import RenderError

Spec = dict[str, Any]
"""A Vega-Lite specification; plain lists, dicts, strings and numbers."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

# Marks only: text, axes and background stay with the theme of the page. All three have a contrast
# of at least 3 : 1 to white and to a dark grey page, and differ in lightness, not in hue alone.
STRONG = "#2277cc"
MUTED = "#8a99a8"
ACCENT = "#d9480f"


def channel_values(values: npt.NDArray[Any], what: str = "channel weights") -> npt.NDArray[Any]:
    """(C,) float64, or RenderError for anything else."""
    floats = np.asarray(values, dtype=np.float64)
    if floats.ndim != 1 or not floats.size:
        raise RenderError(
            f"A chart of {what} takes one image's values, shape (C,), not {floats.shape}. Choose "
            "one image of the batch."
        )
    return floats


def json_number(value: float) -> float | None:
    """Six decimals, enough for any bar; null for what JSON cannot hold."""
    return round(float(value), 6) if math.isfinite(value) else None
