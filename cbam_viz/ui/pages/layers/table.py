"""The numbers of all layers as tables, one for each kind of gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import streamlit as st

from cbam_viz.statistics import (
    FLAT_RANGE,
    SATURATED_HIGH,
    SATURATED_LOW,
    GateStatistics,
    LayerStatistics,
    remarks,
)
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.parts.against import CONSTANTS

Kind = Literal["spatial", "channel"]

KINDS: dict[Kind, tuple[str, str | None]] = {
    "spatial": ("Spatial maps (M_s)", hint("spatial map")),
    "channel": ("Channel weights (M_c)", hint("channel weight")),
}
"""Heading of each table, and what it is about."""


def draw(statistics: Sequence[LayerStatistics], titles: Mapping[str, str]) -> None:
    """A row for each layer, called by its title."""
    drawn = [kind for kind in KINDS if _draw_one(kind, statistics, titles)]
    by_area = " Each cell of a map counts by the area that it has on the photo."
    st.caption(
        "**Spread** is the standard deviation. **Saturated** is the share of values that are "
        f"nearly closed (below {SATURATED_LOW:g}) or fully open (above {SATURATED_HIGH:g}); if it "
        "is more than half, the layer holds most back, lets most through, or works like a switch "
        f"(**nearly binary**). A gate is **flat** if all its values lie within {FLAT_RANGE:g} of "
        "each other, so that nothing is preferred, and **untrained** if all are exactly 0.5, "
        "which is what a layer gives whose weights are still zero. **Entropy** is 1 if all values "
        "are equal, 0 if all but one are zero." + (by_area if "spatial" in drawn else "")
    )


def _draw_one(kind: Kind, statistics: Sequence[LayerStatistics], titles: Mapping[str, str]) -> bool:
    rows = [
        _row(kind, one, gate, titles[one.name])
        for one in statistics
        if (gate := one.spatial if kind == "spatial" else one.channel) is not None
    ]
    if not rows:
        return False
    heading, meaning = KINDS[kind]
    st.subheader(heading, anchor=False, help=meaning)
    st.dataframe(
        {name: [row[name] for row in rows] for name in rows[0]},
        key=f"layers_table_{kind}",
        hide_index=True,
        height="content",
        column_config=_formats(),
        alt=f"{heading}: mean, spread, lowest and highest value, saturation and entropy, by layer",
    )
    return True


def _row(kind: Kind, one: LayerStatistics, gate: GateStatistics, title: str) -> dict[str, Any]:
    # The whole sentence is on the layer's card; here a word, so that all columns are in sight.
    told = list(remarks(gate))
    if kind == "spatial":
        told += [flag.partition(":")[0] for flag in one.flags if flag.startswith("place ")]
    called = "map: " if kind == "spatial" else "channel weights: "
    told += [
        remark
        for ending, remark in CONSTANTS.items()
        if any(flag.startswith(called) and flag.endswith(ending) for flag in one.flags)
    ]
    return {
        "Layer": title,
        "Module": one.name,
        "Mean": gate.mean,
        "Spread": gate.spread,
        "Lowest": gate.minimum,
        "Highest": gate.maximum,
        "Saturated": 100 * gate.saturated,
        "Entropy": gate.entropy,
        "Remarks": ", ".join(told),
    }


def _formats() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    formats: dict[str, Any] = {"Layer": st.column_config.TextColumn(pinned=True)}
    for title in ("Mean", "Spread", "Lowest", "Highest"):
        formats[title] = number(format="%.3f")
    formats["Saturated"] = number(format="%.1f %%")
    formats["Entropy"] = number(format="%.4f")
    return formats
