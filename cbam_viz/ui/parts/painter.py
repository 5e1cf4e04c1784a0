"""A brush on a layer's map: what is painted on its cells, to be put in the place of the gate."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from cbam_viz.render import Scale, absolute_scale, lookup_table
from cbam_viz.ui import session
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.drawing.on_photo import Field, OnPhoto
from cbam_viz.ui.parts import components, strokes
from cbam_viz.ui.parts.strokes import Brushed, Strokes
from cbam_viz.ui.scene import Scene

KEPT = 12
"""Paintings that a session keeps, of its last layers and photos."""
BRUSHES = 14
"""By default a brush is a part of this size of the map's longer side."""

ROUNDING = 1e-3
"""By how much a gate that is kept between 0 and 1 may be beyond, in half precision."""


@dataclass
class Paintings:
    """What a session has painted; no link carries it."""

    made: session.Recent = field(default_factory=lambda: session.Recent(KEPT))


def draw(scene: Scene, side: OnPhoto, *, key: str) -> Brushed:
    """Draw a map to paint on; returns what is painted on it. `key` is unique on the page.

    `side` must have a field. The map and what is painted are coloured on one scale, that of `span`.
    """
    assert side.field is not None
    rows, columns = side.field.values.shape
    low, high = span(side.field)
    size = pictures.screen_size(side.photo.size, pictures.PHOTO_SIDE)
    most = max(3, math.ceil(max(rows, columns) / 2))
    usual = max(1, round(max(rows, columns) / BRUSHES))
    frame = hashlib.sha256(repr(side.key).encode()).hexdigest()[:16]
    painting: Strokes = session.keep(Paintings).made.get_or_make(frame, Strokes)
    within = (low, high) == (0, 1)
    scale = absolute_scale() if within else Scale("shared", low, high, "map and brush")
    colours = lookup_table(scene.settings.colormap)[np.linspace(0, 255, 101).round().astype(int)]
    components.painter(
        {
            "frame": frame,
            "name": side.name,
            "title": side.title,
            "alt": side.alt,
            "photo": scene.results.pictures.get_or_make(
                (side.photo.sha256, side.geometry),
                lambda: pictures.base_photo(side.photo, side.geometry),
            ),
            "size": size,
            **pictures.readout(side, size),
            "low": low,
            "high": high,
            "colors": [f"rgb({red} {green} {blue})" for red, green, blue in colours.tolist()],
            "bar": pictures.colour_bar(scale, scene.settings.colormap),
            "opacity": scene.settings.opacity,
            "value": _setting("value", 0.0, (low, high)),
            "brush": _setting("brush", usual, (1, most)),
            "most": most,
            "painting": {
                "strokes": painting.strokes,
                "done": painting.done,
                "revision": painting.revision,
            },
        },
        key=key,
        on_painted_change=partial(_take_strokes, key, frame, rows * columns, low, high),
        on_brush_change=partial(_take_brush, key, low, high, most),
    )
    return painting.brushed((rows, columns))


def span(drawn: Field) -> tuple[float, float]:
    """What can be painted: 0 to 1, or up to the map's own ends where it goes beyond."""
    finite = drawn.values[np.isfinite(drawn.values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (
        0.0 if low >= -ROUNDING else math.floor(100 * low) / 100,
        1.0 if high <= 1 + ROUNDING else math.ceil(100 * high) / 100,
    )


def _setting(name: str, default: float, between: tuple[float, float]) -> float:
    """A setting of the page that stands in the link, and whose widget is the component."""
    tied = session.control(name, default, between=between)
    value: float = st.session_state[tied["key"]]
    return value


def _take_strokes(key: str, frame: str, count: int, low: float, high: float) -> None:
    """What was painted; of another layer or photo, which was shown a moment ago, it is no more."""
    state: Any = st.session_state[key]
    sent = state.get("painted")
    found = strokes.read(sent, count, low, high)
    if found is not None and sent["frame"] == frame:
        session.keep(Paintings).made[frame] = found


def _take_brush(key: str, low: float, high: float, most: int) -> None:
    state: Any = st.session_state[key]
    sent = state.get("brush")
    if not isinstance(sent, dict):
        return
    value, brush = sent.get("value"), sent.get("brush")
    if isinstance(value, int | float) and low <= value <= high:
        session.page_settings().values["value"] = round(float(value), 2)
    if isinstance(brush, int) and 1 <= brush <= most:
        session.page_settings().values["brush"] = brush
