"""The numbers of all layers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from cbam_viz.statistics import GateStatistics, LayerStatistics

TABLE = "layers_table"


def draw(statistics: Sequence[LayerStatistics]) -> None:
    """One row a layer."""
    st.subheader("Numbers", anchor=False)
    rows = [_row(one) for one in statistics]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    st.dataframe(
        columns,
        key=TABLE,
        hide_index=True,
        height="content",
        column_config=_formats(),
        alt="Mean, spread, saturation and entropy of the gates of every layer",
    )
    st.caption(
        "M_s is the spatial map, M_c are the channel weights. Spread is the standard deviation. "
        "Saturated is the share of gates below 0.05 or above 0.95. Entropy is that of the gates "
        "taken as a distribution, 1 if all are equal. Each cell of a map counts by the area that "
        "it has on the photo."
    )


def _row(one: LayerStatistics) -> dict[str, Any]:
    row: dict[str, Any] = {"Layer": one.name}
    for title, gate in (("M_s", one.spatial), ("M_c", one.channel)):
        row |= _numbers(title, gate)
    # The whole sentence is on the layer's card; here a word, so that all columns are in sight.
    row["Remarks"] = ", ".join(dict.fromkeys(flag.partition(":")[0] for flag in one.flags))
    return row


def _numbers(title: str, gate: GateStatistics | None) -> dict[str, float | None]:
    return {
        f"{title} mean": None if gate is None else gate.mean,
        f"{title} spread": None if gate is None else gate.spread,
        f"{title} saturated": None if gate is None else 100 * gate.saturated,
        f"{title} entropy": None if gate is None else gate.entropy,
    }


def _formats() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    formats: dict[str, Any] = {"Layer": st.column_config.TextColumn(pinned=True)}
    for title in ("M_s", "M_c"):
        formats[f"{title} mean"] = number(format="%.3f")
        formats[f"{title} spread"] = number(format="%.3f")
        formats[f"{title} saturated"] = number(format="%.1f %%")
        formats[f"{title} entropy"] = number(format="%.4f")
    return formats
