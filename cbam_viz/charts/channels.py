"""Channel weights as bars: 64 or 2,048 of them, each one clickable and reachable by keyboard.

Vega-Lite cannot take the keyboard's focus and draws thousands of bars as a haze, so these bars are
drawn by the app's own component; here is what it is given.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.charts.common import ACCENT, MUTED, STRONG, channel_values, json_number
from cbam_viz.errors import RenderError

Order = Literal["index", "sorted"]

ORDERS: tuple[Order, ...] = ("index", "sorted")


def channel_bars(
    weights: npt.NDArray[Any],
    *,
    order: Order = "index",
    top_k: int = 10,
    selected: int | None = None,
) -> dict[str, Any]:
    """Describe one image's channel weights (C,) for the component that draws them, fit for JSON.

    The axis is absolute, 0 to 1, and extends only if values lie beyond. Weights have six decimals;
    those that are no finite number become null. Raises RenderError for values that are no (C,) and
    for options that do not exist.
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
    finite = values[np.isfinite(values)]
    return {
        "weights": [json_number(weight) for weight in values.tolist()],
        "ranks": ranks(values).tolist(),
        "order": order,
        "top": top_k,
        "selected": selected,
        "low": min(0.0, float(finite.min(initial=0))),
        "high": max(1.0, float(finite.max(initial=1))),
        "colors": {"strong": STRONG, "muted": MUTED, "accent": ACCENT},
        "label": _in_words(values),
    }


def ranks(weights: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Rank of each channel, 1 for the highest weight; equal weights in index order, NaN last."""
    order = np.argsort(-np.asarray(weights, dtype=np.float64), kind="stable")
    positions = np.empty(order.size, np.intp)
    positions[order] = np.arange(1, order.size + 1)
    return positions


def _in_words(values: npt.NDArray[Any]) -> str:
    """What a screen reader says of the whole."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return f"Bars of {values.size} channel weights, none of them a finite number."
    best = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
    return (
        f"Bars of {values.size} channel weights from {finite.min():.3f} to {finite.max():.3f}; the "
        f"highest is that of channel {best}. Arrow keys choose a bar."
    )
