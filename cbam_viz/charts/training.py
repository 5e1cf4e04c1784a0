"""A number of every layer's gates over the epochs of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cbam_viz.charts.classes import LINES
from cbam_viz.charts.common import ACCENT, MUTED, SCHEMA, STRONG, Spec, json_number
from cbam_viz.errors import RenderError

_FIT = {"type": "fit-x", "contains": "padding"}
_HEIGHT = 240


def epoch_curves(
    lines: Mapping[str, Sequence[float | None]],
    numbers: Sequence[int],
    *,
    chosen: str,
    at: int | None = None,
    unit: str = "epoch",
    title: str = "",
) -> Spec:
    """Draw a line for each layer over epochs, (E,) each; what is None has a gap.

    Up to eight layers have a colour each; of more, `chosen` stands out and the others are grey, to
    be told by pointing at them. `at` marks an epoch. The axis goes from 0 to 1 if all values do.
    Raises RenderError for a line that has not a value for each epoch.
    """
    if any(len(line) != len(numbers) for line in lines.values()) or not lines:
        raise RenderError(f"Each line needs a value for each of {len(numbers)} {unit}s.")
    records = [
        {"layer": name, unit: int(number), "value": None if value is None else json_number(value)}
        for name, line in lines.items()
        for number, value in zip(numbers, line, strict=True)
    ]
    known = [one["value"] for one in records if one["value"] is not None]
    values = np.array(known or [0.0], np.float64)
    domain = [min(0.0, float(values.min())), max(1.0, float(values.max()))]
    few = len(lines) <= len(LINES)
    names = list(lines)
    colour: dict[str, Any] = {
        "field": "layer",
        "type": "nominal",
        "title": None,
        "sort": None,
        "scale": {
            "domain": names,
            "range": [
                LINES[n] if few else (STRONG if name == chosen else MUTED)
                for n, name in enumerate(names)
            ],
        },
        "legend": {"orient": "top", "columns": 2, "labelLimit": 130, "symbolType": "stroke",
                   "symbolOpacity": 1} if few else None,
    }  # fmt: skip
    is_chosen = {"test": {"field": "layer", "equal": chosen}}
    x = {
        "field": unit,
        "type": "quantitative",
        "title": unit,
        "scale": {"nice": False, "zero": False},
        "axis": {"tickMinStep": 1, "format": "d"},
    }
    drawn: list[Spec] = [
        {
            "data": {"values": records},
            "mark": {"type": "line", "point": {"size": 22}},
            "encoding": {
                "x": x,
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": title,
                    "scale": {"domain": domain, "nice": False},
                },
                "color": colour,
                "strokeWidth": {"condition": {**is_chosen, "value": 3}, "value": 1.2},
                "opacity": {"condition": {**is_chosen, "value": 1}, "value": 1 if few else 0.5},
                "tooltip": [
                    {"field": "layer", "type": "nominal"},
                    {"field": unit, "type": "quantitative"},
                    {"field": "value", "type": "quantitative", "title": title, "format": ".4f"},
                ],
            },
        }
    ]
    if at is not None:
        drawn.append(
            {
                "data": {"values": [{unit: int(at)}]},
                "mark": {"type": "rule", "color": ACCENT, "strokeDash": [4, 3]},
                "encoding": {"x": x},
            }
        )
    return {
        "$schema": SCHEMA,
        "description": f"{title} of {len(lines)} layers over {len(numbers)} {unit}s.",
        "width": "container",
        "height": _HEIGHT,
        "autosize": _FIT,
        "layer": drawn,
    }
