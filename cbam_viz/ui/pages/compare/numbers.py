"""The numbers of all layers that correspond, side by side, with their differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from cbam_viz.comparison import Comparison
from cbam_viz.comparison.tables import COLUMNS, csv_text, table
from cbam_viz.layer_names import titles
from cbam_viz.statistics import SATURATED_HIGH, SATURATED_LOW
from cbam_viz.ui import words
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.pages.compare.sides import Look
from cbam_viz.ui.scene import Scene

GATES = {"spatial": ("Spatial maps (M_s)", hint("spatial map")),
         "channel": ("Channel weights (M_c)", hint("channel weight"))}  # fmt: skip
SHARES = ("closed", "opened")
NAMES = {"mean": "Mean", "spread": "Spread", "closed": "Closed", "opened": "Open",
         "entropy": "Entropy"}  # fmt: skip
AGREEMENT = {"pearson": "Pearson", "spearman": "Spearman", "overlap": "IoU"}


def draw(scene: Scene, looks: Sequence[Look], found: Comparison) -> None:
    """A table for each kind of gate: a row for each layer and side."""
    key = (
        "compare table",
        tuple(one.key for one in looks),
        tuple(tuple(pairs.items()) for pairs in found.pairs),
        found.same_scene,
    )
    with st.container(key="busy_compare_table"), st.spinner("Comparing all layers …"):
        rows = scene.results.pictures.get_or_make(key, lambda: list(table(found)))
    called = titles(found.sides[found.reference].layers.values()).layers
    for gate, (heading, meaning) in GATES.items():
        some = [row for row in rows if row["gate"] == gate]
        if not some:
            continue
        st.subheader(heading, anchor=False, help=meaning)
        lines = [_line(found, row, called) for row in some]
        names = list(dict.fromkeys(name for line in lines for name in line))
        st.dataframe(
            {name: [line.get(name) for line in lines] for name in names},
            key=f"compare_table_{gate}",
            hide_index=True,
            placeholder="",
            height=min(460, 36 * (len(lines) + 1) + 2),
            column_config=_formats(),
            alt=f"{heading} of all layers that correspond: numbers and differences to the first",
        )
    first = found.sides[found.reference].title
    st.caption(
        f"**Δ** is the difference to {words.plain(first)}. **Spread** is the standard deviation, "
        f"**Closed** the share below {SATURATED_LOW:g}, **Open** that above {SATURATED_HIGH:g}; "
        "each cell of a map counts by the area that it has on what its own network saw of the "
        "photo. **Pearson**, **Spearman** and **IoU** (of the highest fifth) are over what both "
        "saw; those of channel weights only where channels correspond."
    )
    st.download_button(
        "All numbers (CSV)",
        lambda: csv_text(found).encode(),
        file_name="comparison.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
        help=f"Columns: {', '.join(COLUMNS)}",
    )


def _line(found: Comparison, row: dict[str, Any], called: dict[str, str]) -> dict[str, Any]:
    """A row of the table on the page."""
    line = {
        "Layer": called[row["layer"]],
        "Of": found.sides[row["side"]].title,
        "Module": row["its_layer"],
    }
    for name, title in NAMES.items():
        factor = 100 if name in SHARES else 1
        for key, column in ((name, title), (f"{name}_difference", f"Δ {title}")):
            value = row.get(key)
            line[column] = None if value is None else factor * value
    return line | {title: row.get(name) for name, title in AGREEMENT.items()}


def _formats() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    formats: dict[str, Any] = {"Layer": st.column_config.TextColumn(pinned=True)}
    for name, title in NAMES.items():
        share = name in SHARES
        formats[title] = number(format="%.1f %%" if share else "%.3f")
        formats[f"Δ {title}"] = number(format="%+.1f" if share else "%+.3f")
    return formats | {title: number(format="%.2f") for title in AGREEMENT.values()}
