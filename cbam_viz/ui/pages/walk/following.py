"""What the numbers of How it works follow: a channel and a cell; and how maps are drawn there."""

from __future__ import annotations

from itertools import product

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.steps import COUNTING, WISHES, Walk, Wish, channels_of, walk
from cbam_viz.ui import session
from cbam_viz.ui.parts.channel_panel import checked_channel
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session.link import CELLS

NO_CELL = 0, 0
"""Stands for the cell that suits the photo; others count from 1."""
CELL = "row", "column"
BUTTONS: dict[Wish, str] = {
    "most taken": "Held back most",
    "largest": "Largest weight",
    "smallest": "Smallest weight",
}


def follow(scene: Scene, layer: LayerAttention) -> Walk:
    """Choose what the numbers follow, say why, and walk.

    What was not chosen does not become the visitor's choice: on another photo another channel has
    more to show. The one shown first is not that of the highest weight: a weight of 1 changes
    nothing, and there is nothing to see.
    """
    assert layer.computation is not None
    geometry = scene.analysis.geometry
    count, rows, columns = layer.computation.gates[0].features.shape[1:]
    chosen = checked_channel(scene.settings.channel, count)
    cell = _chosen_cell(rows, columns)
    followed = walk(layer, scene.loaded.model, geometry, channel=chosen, cell=cell)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.number_input(
            "Channel to follow",
            min_value=0,
            max_value=count - 1,
            step=1,
            width=160,
            help="The numbers below follow this one of the layer's channels.",
            **session.control("channel", shown=followed.channel, along={"layer": layer.name}),
        )
        wishes = channels_of(layer, layer.computation, geometry)
        for wish, channel in wishes.items() if layer.channel is not None else ():
            st.button(
                BUTTONS[wish],
                key=f"follow_{wish.replace(' ', '_')}",
                help=f"Follow {WISHES[wish]}: {channel}.",
                on_click=session.change,
                kwargs={"channel": channel, "layer": layer.name},
            )
    _choose_cell(followed, rows, columns, chosen=cell is not None)
    st.markdown(
        f"The numbers follow **channel {followed.channel}**, {followed.channel_reason}, and "
        f"**{followed.where}**, {followed.cell_reason}; it is framed in every picture, and a "
        f"click on another cell follows that one. {COUNTING}"
    )
    return followed


def _chosen_cell(rows: int, columns: int) -> tuple[int, int] | None:
    """The cell that the visitor or a link chose, from 0; None if this layer has no such cell."""
    cells = {NO_CELL, *product(range(1, rows + 1), range(1, columns + 1))}
    tied = session.control("cell", NO_CELL, among=cells)
    row, column = st.session_state[tied["key"]]
    return None if (row, column) == NO_CELL else (row - 1, column - 1)


def _choose_cell(followed: Walk, rows: int, columns: int, *, chosen: bool) -> None:
    """Two fields, counted from 1, that show which cell is followed."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for name, most, at in zip(CELL, (rows, columns), followed.cell, strict=True):
            st.session_state[f"how_{name}"] = at + 1
            st.number_input(
                f"{name.capitalize()} to follow",
                min_value=1,
                max_value=most,
                step=1,
                width=160,
                key=f"how_{name}",
                on_change=_take_cell,
            )
        st.button(
            "Highest cell",
            key="follow_highest_cell",
            help="Follow the cell where the map is highest on the photo, or without a map the "
            "followed channel.",
            disabled=not chosen,
            on_click=session.page_settings().values.__setitem__,
            args=("cell", NO_CELL),
        )


def _take_cell() -> None:
    row, column = (int(st.session_state[f"how_{name}"]) for name in CELL)
    follow_cell(row - 1, column - 1)


def follow_cell(row: int, column: int) -> None:
    """Follow this cell, counted from 0, from now on; one that the layer has not is not followed."""
    session.page_settings().values["cell"] = row + 1, column + 1


def style() -> str:
    """How cells of maps are drawn; here one sees them, as it is them that are computed with."""
    chosen: str = st.segmented_control(
        "Maps",
        list(CELLS),
        format_func=CELLS.__getitem__,
        required=True,
        **session.control("maps", "cells", list(CELLS)),
    )
    return chosen
