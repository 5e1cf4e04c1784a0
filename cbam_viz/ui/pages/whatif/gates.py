"""Every gate's effect on this photo: each replaced in turn, sorted, and what that amounts to."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cbam_viz.ablation import Aim, Effect, Effects, Replacement
from cbam_viz.charts import effects_chart
from cbam_viz.ui import words
from cbam_viz.ui.pages.whatif import measured, telling
from cbam_viz.ui.parts.progress import progress
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control

UNITS = {"gate": "Each gate", "stage": "Each stage", "all": "All at once"}
KINDS = {"channel": "channel weights", "spatial": "spatial map", "both": "both"}
NUMBER = {"class": "probability", "object": "score", "region": "score"}
BARS, MOST_ROWS = 12, 16


def draw(scene: Scene, aim: Aim, by: Replacement) -> None:
    """On demand: it takes a run of the network for every gate."""
    st.subheader("Every gate in turn", anchor=False)
    count = sum(
        gate is not None for one in scene.layers.values() for gate in (one.channel, one.spatial)
    )
    wanted = st.toggle(
        f"Measure every gate of this network ({count})",
        help="Each gate is replaced alone, then those of each stage together, then all of them; "
        "each takes a run of the network from there on. The result is kept for this photo and "
        f"replacement; measuring stops after {measured.SECONDS:g} seconds.",
        **control("every", False),
    )
    if not wanted:
        return
    with progress("Replacing every gate in turn …") as report:
        found = measured.effects(scene, aim, by, report)
    st.markdown(telling.summary(found.ranked("share"), aim, by, scene.titles))
    unit = st.segmented_control(
        "Replaced together",
        list(UNITS),
        format_func=UNITS.__getitem__,
        required=True,
        label_visibility="collapsed",
        **control("unit", "gate", among=UNITS),
    )
    rows = [row for row in found.ranked("share") if row.unit == unit]
    if rows:
        _chart(scene, rows, aim)
        _table(scene, rows, found, aim)
    else:
        st.info("None of these was measured in time.")
    for text in found.skipped:
        st.caption(words.plain(text))


def _chart(scene: Scene, rows: list[Effect], aim: Aim) -> None:
    """The largest effects as bars."""
    shown = rows[:BARS]
    what = f"{aim.label}'s {NUMBER[aim.kind]}"
    st.caption(words.plain(f"Change of {what}, in percentage points:"))
    spec = effects_chart(
        [telling.place_of(row, scene.titles) for row in shown],
        [KINDS[row.kind] for row in shown],
        [100 * row.mean for row in shown],
        what,
    )
    st.vega_lite_chart(spec=spec, width="stretch", key="whatif_effects")
    if len(rows) > BARS:
        st.caption(f"The {BARS} largest effects of {len(rows)}; the table has all.")


def _table(scene: Scene, rows: list[Effect], found: Effects, aim: Aim) -> None:
    """Every effect, largest first."""
    logits = {(row.unit, row.name, row.kind): row for row in found.ranked("logit")}
    table: dict[str, list[Any]] = {
        "Gates of": [telling.place_of(row, scene.titles) for row in rows],
        "Kind": [KINDS[row.kind] for row in rows],
        "Then": [100 * float(row.after[0]) for row in rows],
        "Change": [100 * row.mean for row in rows],
    }
    if logits:
        table["Logit"] = [logits[row.unit, row.name, row.kind].mean for row in rows]
    table["Module"] = [row.name for row in rows]
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        key="whatif_table",
        hide_index=True,
        height="content" if len(rows) <= MOST_ROWS else 35 * MOST_ROWS,
        column_config={
            "Gates of": st.column_config.TextColumn(pinned=True),
            "Then": number(format="%.1f %%", help=f"{aim.label}'s {NUMBER[aim.kind]} then"),
            "Change": number(format="%+.1f", help="In percentage points"),
            "Logit": number(format="%+.3f", help="Change of the number before the softmax"),
        },
        alt=f"What {aim.label} becomes when gates are replaced, largest change first",
    )
