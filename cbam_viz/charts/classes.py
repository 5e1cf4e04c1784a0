"""Charts of classes: their mean channel weights as a heat map and as curves, and their distances.

The curves are those of Hu, Shen and Sun, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv
1709.01507, "Role of Excitation": mean weights of a few classes over uniformly sampled channels,
with the mean of all classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.charts.common import SCHEMA, Spec, json_number
from cbam_viz.errors import RenderError

Real = npt.NDArray[np.float64]
Scale = Literal["absolute", "difference", "distance"]

MEAN = "mean of all classes"
LINES = ("#2277cc", "#d9480f", "#2b8a3e", "#9c36b5", "#b08900", "#0b7285", "#c2255c", "#5c677d")
"""Of as many classes as can be told apart; each has 3 : 1 to white and to a dark page."""
_ROW = 22
_WIDE = "containerSize()[0] >= 600"
"""Whether a chart has room for long names, beside a phone's."""
NAME, LONG_NAME = 110, 240
"""Pixels that the name of a class may take at most, on a phone and where there is room."""
_NAME = {"expr": f"{_WIDE} ? {LONG_NAME} : {NAME}"}
FIT = {"type": "fit-x", "contains": "padding"}
"""The height is the cells' and lines' own: legend and axes are beyond it."""


def sampled_channels(count: int, wanted: int) -> npt.NDArray[np.intp]:
    """Evenly spaced channels of `count`, the first and the last among them, as figures take."""
    spaced = np.linspace(0, count - 1, min(wanted, count))
    return np.unique(np.rint(spaced).astype(np.intp))


def heat_map(
    values: npt.NDArray[Any],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    scale: Scale,
    column_title: str = "channel",
    cell: int = _ROW,
    description: str = "",
) -> Spec:
    """Show values (R, C) as coloured cells, in the order given.

    `absolute` colours from 0 to 1, further only if values lie beyond; `difference` from the largest
    magnitude below 0 to the same above; `distance` from 0 to the largest. A row is `cell` pixels
    high. Raises RenderError unless
    there is a name for every row and column.
    """
    array = np.asarray(values, np.float64)
    if array.shape != (len(rows), len(columns)) or not array.size:
        raise RenderError(f"{len(rows)} rows and {len(columns)} columns do not name {array.shape}.")
    records = [
        {"row": row, "column": column, "value": json_number(array[i, j])}
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    ]
    finite = array[np.isfinite(array)]
    low, high = float(finite.min(initial=0)), float(finite.max(initial=0))
    most = max(-low, high) or 1e-6
    colours: dict[Scale, dict[str, Any]] = {
        "absolute": {"scheme": "viridis", "domain": [min(0.0, low), max(1.0, high)]},
        "difference": {"scheme": "purpleorange", "domain": [-most, most], "reverse": True},
        "distance": {"scheme": "viridis", "domain": [0, high or 1e-6]},
    }
    named = {"type": "nominal", "sort": None}
    return {
        "$schema": SCHEMA,
        "description": description,
        "width": "container",
        "height": cell * len(rows),
        "autosize": FIT,
        "data": {"values": records},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {
                "field": "column",
                **named,
                "title": column_title,
                "axis": {"labelAngle": -90, "labelOverlap": True, "labelLimit": 90},
            },
            "y": {"field": "row", **named, "title": None, "axis": {"labelLimit": _NAME}},
            "color": {
                "field": "value",
                "type": "quantitative",
                "title": None,
                "scale": colours[scale],
                "legend": {"orient": "top", "gradientLength": 180, "format": ".2~f"},
            },
            "tooltip": [
                {"field": "row", "type": "nominal", "title": "class"},
                {"field": "column", "type": "nominal", "title": column_title},
                {"field": "value", "type": "quantitative", "title": "value", "format": ".4f"},
            ],
        },
    }


def class_curves(
    lines: npt.NDArray[Any],
    names: Sequence[str],
    mean: npt.NDArray[Any],
    channels: npt.NDArray[np.integer],
    *,
    spread: npt.NDArray[Any] | None = None,
    title: str = "",
) -> Spec:
    """Draw mean weights of classes (K, C) at some channels, with the mean of all classes (C,).

    With `spread` (K, C), one standard deviation on both sides as a band. The axis goes from 0 to 1,
    further only if values lie beyond. Raises RenderError for more classes than can be told apart.
    """
    if len(names) > len(LINES):
        raise RenderError(f"Lines of {len(names)} classes cannot be told apart: {len(LINES)} can.")
    numbered = [int(channel) for channel in channels]
    records = [
        {"line": name, "channel": channel, "value": json_number(values[channel])}
        for name, values in zip((*names, MEAN), (*lines, mean), strict=True)
        for channel in numbered
    ]
    bands = []
    if spread is not None:
        bands = [
            {
                "line": name,
                "channel": channel,
                "low": json_number(values[channel] - around[channel]),
                "high": json_number(values[channel] + around[channel]),
            }
            for name, values, around in zip(names, lines, spread, strict=True)
            for channel in numbered
        ]
    apart = np.zeros_like(lines) if spread is None else spread
    drawn_ends = np.concatenate([lines - apart, lines + apart])[:, numbered]
    finite = drawn_ends[np.isfinite(drawn_ends)]
    domain = [min(0.0, float(finite.min(initial=0))), max(1.0, float(finite.max(initial=1)))]
    x = {"field": "channel", "type": "quantitative", "title": "channel",
         "scale": {"domain": [0, max(1, *numbered)], "nice": False}}  # fmt: skip
    y_scale = {"domain": domain, "nice": False}
    colour = {
        "field": "line",
        "type": "nominal",
        "title": None,
        "scale": {"domain": [*names, MEAN], "range": [*LINES[: len(names)], "#808890"]},
        "legend": {
            "orient": "top",
            "columns": {"expr": f"{_WIDE} ? 3 : 2"},
            "labelLimit": _NAME,
            "symbolType": "stroke",
            "symbolOpacity": 1,
        },
    }
    dash = {"condition": {"test": f"datum.line === '{MEAN}'", "value": [5, 3]}, "value": [1, 0]}
    tooltip = [
        {"field": "line", "type": "nominal", "title": "class"},
        {"field": "channel", "type": "quantitative"},
        {"field": "value", "type": "quantitative", "title": "mean weight", "format": ".4f"},
    ]
    y = {"field": "value", "type": "quantitative", "title": "mean weight", "scale": y_scale}
    drawn: list[Spec] = []
    if bands:
        drawn.append({
            "data": {"values": bands},
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"},
                         "color": colour},
        })  # fmt: skip
    drawn.append({
        "data": {"values": records},
        "mark": {"type": "line", "strokeWidth": 1.6, "point": {"size": 14}},
        "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash, "tooltip": tooltip},
    })  # fmt: skip
    return {
        "$schema": SCHEMA,
        "description": f"{title}: mean channel weights of {', '.join(names)} and {MEAN}.",
        "title": title,
        "width": "container",
        "height": 200,
        "autosize": FIT,
        "layer": drawn,
    }
