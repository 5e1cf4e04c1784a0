"""Channel weights as bars: 64 or 2,048 of them, one readable and clickable bar each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.charts.common import (
    ACCENT,
    MUTED,
    SCHEMA,
    STRONG,
    Spec,
    channel_values,
    json_number,
)
from cbam_viz.errors import RenderError

Order = Literal["index", "sorted"]

ORDERS: tuple[Order, ...] = ("index", "sorted")

SELECTION = "channel"
"""Name of the point selection; a click on a bar selects `{"channel": 17}`."""

# Height of a row of bars and distance between rows, in units of a row. With 1.25 every row begins
# and ends at a number that binary fractions hold exactly: axis labels can test for equality.
_PITCH = 1.25

# In screen pixels. Pages fit the whole chart, legend and axis titles included, into its height.
_BARS_HEIGHT = 160
_ROW_HEIGHT = 36
_SURROUNDINGS = 95


@dataclass(frozen=True)
class _Layout:
    """How the bars are split into rows, and what a row spans."""

    count: int
    per_row: int
    low: float
    high: float

    @property
    def rows(self) -> int:
        return math.ceil(self.count / self.per_row)

    @property
    def top(self) -> float:
        """Upper end of the first row, in units of a row; the last row begins at 0."""
        return (self.rows - 1) * _PITCH + 1

    @property
    def zero(self) -> float:
        """Where a weight of zero lies within a row, in [0, 1]."""
        return -self.low / (self.high - self.low)


def channel_chart(
    weights: npt.NDArray[Any],
    *,
    order: Order = "index",
    top_k: int = 10,
    selected: int | None = None,
) -> Spec:
    """Make a Vega-Lite chart of one image's channel weights (C,).

    The axis is absolute, 0 to 1, and extends only if values lie beyond. The `top_k` highest weights
    are marked; hovering gives channel, weight and rank; the point selection `channel` reports the
    clicked one, anywhere in its column. Long layers continue in further rows. Raises RenderError
    for values that are no (C,) and for options that do not exist.
    """
    values = channel_values(weights)
    if order not in ORDERS:
        raise RenderError(f"There is no order {order!r}. Choose one of {', '.join(ORDERS)}.")
    if selected is not None and not 0 <= selected < values.size:
        raise RenderError(
            f"There is no channel {selected}. This layer has channels 0 to {values.size - 1}."
        )
    if top_k < 0:
        raise RenderError(f"The {top_k} highest weights cannot be marked. Choose 0 or more.")
    layout = _layout(values)
    marked = min(top_k, values.size)
    return {
        "$schema": SCHEMA,
        "description": _description(values),
        "width": "container",
        "height": _height(layout),
        "data": {"values": _records(values, order)},
        "transform": _transforms(layout, marked, selected),
        "layer": [
            *_range_layer(layout, order),
            _column_layer(layout, order),
            _bar_layer(layout, order, marked),
        ],
        "resolve": {"axis": {"y": "independent"}},
    }


def ranks(weights: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Rank of each channel, 1 for the highest weight; equal weights in index order, NaN last."""
    order = np.argsort(-np.asarray(weights, dtype=np.float64), kind="stable")
    positions = np.empty(order.size, np.intp)
    positions[order] = np.arange(1, order.size + 1)
    return positions


def _layout(values: npt.NDArray[Any]) -> _Layout:
    finite = values[np.isfinite(values)]
    low = min(0.0, float(finite.min(initial=0)))
    high = max(1.0, float(finite.max(initial=1)))
    # 128 bars a row leave four screen pixels each; from 513 on, half of that, or the chart would
    # be taller than a page.
    per_row = values.size if values.size <= 128 else (128 if values.size <= 512 else 256)
    return _Layout(values.size, per_row, low, high)


def _height(layout: _Layout) -> int:
    return round(max(_BARS_HEIGHT, _ROW_HEIGHT * layout.top)) + _SURROUNDINGS


def _records(values: npt.NDArray[Any], order: Order) -> list[dict[str, float | int | None]]:
    """One record a channel: number, weight, rank, and position from the left and top."""
    rank = ranks(values)
    positions = rank - 1 if order == "sorted" else np.arange(values.size)
    return [
        {"channel": channel, "weight": json_number(weight), "rank": place, "position": position}
        for channel, (weight, place, position) in enumerate(
            zip(values.tolist(), rank.tolist(), positions.tolist(), strict=True)
        )
    ]


def _transforms(layout: _Layout, marked: int, selected: int | None) -> list[dict[str, str]]:
    """Rectangles of the bars, computed in the browser: the data stay small."""
    span = layout.high - layout.low
    last = layout.rows - 1
    chosen = -1 if selected is None else selected
    steps = {
        "column": f"datum.position % {layout.per_row}",
        "base": f"({last} - floor(datum.position / {layout.per_row})) * {_PITCH}",
        "ceiling": "datum.base + 1",
        "left": "datum.column + 0.08",
        "right": "datum.column + 0.92",
        "next": "datum.column + 1",
        "foot": f"datum.base + {layout.zero!r}",
        "head": f"isValid(datum.weight) ? datum.base + (datum.weight - {layout.low!r}) / {span!r}"
        " : datum.foot",
        "group": f"datum.rank <= {marked} ? {_top_label(marked)!r} : 'other'",
        "chosen": f"datum.channel == {chosen}",
    }
    return [{"calculate": formula, "as": name} for name, formula in steps.items()]


def _top_label(marked: int) -> str:
    return f"{marked} highest"


def _rectangle(
    layout: _Layout, order: Order, x: tuple[str, str], y: tuple[str, str], *, y_axis: bool
) -> dict[str, Any]:
    """Encode rectangles between two fields on each axis."""
    return {
        "x": {
            "field": x[0],
            "type": "quantitative",
            "scale": {"domain": [0, layout.per_row], "nice": False},
            "axis": _x_axis(layout, order),
        },
        "x2": {"field": x[1]},
        "y": {
            "field": y[0],
            "type": "quantitative",
            "scale": {"domain": [0, layout.top], "nice": False},
            "axis": _weight_axis(layout) if y_axis else None,
        },
        "y2": {"field": y[1]},
    }


def _tooltip() -> list[dict[str, str]]:
    return [
        {"field": "channel", "type": "quantitative", "title": "channel"},
        {"field": "weight", "type": "quantitative", "title": "weight", "format": ".4f"},
        {"field": "rank", "type": "quantitative", "title": "rank"},
    ]


def _column_layer(layout: _Layout, order: Order) -> Spec:
    """Whole columns behind the bars, all but invisible: a bar of weight 0.02 could not be hit.

    A click on a bar in front counts as well, as its datum has the same fields.
    """
    return {
        "params": [
            {
                "name": SELECTION,
                "select": {"type": "point", "fields": [SELECTION], "toggle": False},
            }
        ],
        "mark": {"type": "rect", "color": MUTED, "cursor": "pointer"},
        "encoding": {
            **_rectangle(layout, order, ("column", "next"), ("base", "ceiling"), y_axis=True),
            "opacity": {
                "condition": {"param": SELECTION, "empty": False, "value": 0.25},
                "value": 0.06,
            },
            "tooltip": _tooltip(),
        },
    }


def _bar_layer(layout: _Layout, order: Order, marked: int) -> Spec:
    return {
        "mark": {"type": "rect", "cursor": "pointer"},
        "encoding": {
            **_rectangle(layout, order, ("left", "right"), ("foot", "head"), y_axis=False),
            "color": {
                "condition": [
                    {"param": SELECTION, "empty": False, "value": ACCENT},
                    {"test": "datum.chosen", "value": ACCENT},
                ],
                "field": "group",
                "type": "nominal",
                "scale": {"domain": [_top_label(marked), "other"], "range": [STRONG, MUTED]},
                "legend": {"orient": "top", "title": None} if marked else None,
            },
            "tooltip": _tooltip(),
        },
    }


def _range_layer(layout: _Layout, order: Order) -> list[Spec]:
    """At the right, which channels (or ranks) each row holds; an axis, as axes follow the theme."""
    if layout.rows == 1:
        return []
    first = 1 if order == "sorted" else 0
    starts = range(first, layout.count + first, layout.per_row)
    texts = [f"{start}–{min(start + layout.per_row, layout.count + first) - 1}" for start in starts]
    middles = [(layout.rows - 1 - row) * _PITCH + 0.5 for row in range(layout.rows)]
    axis = {
        "orient": "right",
        "title": None,
        "values": middles,
        "labelExpr": _choose(middles, texts),
        "labelOverlap": False,
        "ticks": False,
        "domain": False,
        "grid": False,
    }
    return [
        {
            "mark": {"type": "point", "opacity": 0, "size": 0},
            "encoding": {"y": {"field": "base", "type": "quantitative", "axis": axis}},
        }
    ]


def _weight_axis(layout: _Layout) -> dict[str, Any]:
    """Labels are weights; positions are those of the rows."""
    if layout.rows == 1:
        shares = [0.0, 0.25, 0.5, 0.75, 1.0]
        texts = [f"{layout.low + share * (layout.high - layout.low):.4g}" for share in shares]
        values = shares
    else:
        ends = [f"{layout.low:.4g}", f"{layout.high:.4g}"]
        values = [row * _PITCH + end for row in range(layout.rows) for end in (0, 1)]
        texts = ends * layout.rows
    return {
        "title": "channel weight",
        "values": values,
        "labelExpr": _choose(values, texts),
        "labelOverlap": False,
        "grid": True,
    }


def _x_axis(layout: _Layout, order: Order) -> dict[str, Any]:
    if layout.rows > 1:
        what = "rank" if order == "sorted" else "channel"
        title = f"{what} (rows from the top, {layout.per_row} a row)"
        return {"title": title, "labels": False, "ticks": False, "grid": False}
    if order == "sorted":
        return {
            "title": "rank, highest weight first",
            "labels": False,
            "ticks": False,
            "grid": False,
        }
    step = max(1, 2 ** math.ceil(math.log2(layout.count / 8)))
    # Labels stand under the middle of their bar, which begins at the channel's number.
    values = [channel + 0.5 for channel in range(0, layout.count, step)]
    return {
        "title": "channel",
        "values": values,
        "labelExpr": "format(datum.value - 0.5, 'd')",
        "grid": False,
    }


def _choose(values: Sequence[float], texts: Sequence[str]) -> str:
    """A Vega expression that gives the text for each axis value."""
    return f"{list(texts)!r}[indexof({list(values)!r}, datum.value)]"


def _description(values: npt.NDArray[Any]) -> str:
    """What a screen reader says."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return f"Bar chart of {values.size} channel weights, none of them a finite number."
    best = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
    return (
        f"Bar chart of {values.size} channel weights from {finite.min():.3f} to "
        f"{finite.max():.3f}; the highest is that of channel {best}."
    )
