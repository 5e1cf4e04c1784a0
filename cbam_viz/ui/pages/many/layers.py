"""Every gate of a store in a row: its numbers, and what its variance is made of."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cbam_viz.dataset.telling import in_words, without_entropy
from cbam_viz.statistics import SATURATED_HIGH, SATURATED_LOW
from cbam_viz.ui.parts.stores import Opened, summaries

# Columns have the words of `in_words` for names, so that a window of usual width shows all of them.
LABELS = {"pattern": "Pattern", "classes": "Classes", "photos": "Photos"}
SHARES = {"pattern": "Same for all", "classes": "Between classes", "photos": "Between photos"}


def draw(store: Opened) -> None:
    """The table, and below it what its columns say."""
    classes = bool(store.store.classes)
    shares = {key: title for key, title in SHARES.items() if classes or key != "classes"}
    summed, notes = summaries(store)
    rows = [
        {
            "Layer": store.titles[one.layer],
            "Gate": "channels" if one.part == "channel" else "map",
            "Module": one.layer,
            "In words": in_words(one),
            **{title: 100 * one.shares[key] for key, title in shares.items()},
            "Mean": one.numbers["mean"],
            "Spread": one.numbers["spread"],
            "Saturated": 100 * one.numbers["saturated"],
            "Entropy": one.numbers["entropy"],
        }
        for one in summed
    ]
    st.dataframe(
        {name: [row[name] for row in rows] for name in rows[0]} if rows else {},
        key="many_layers",
        hide_index=True,
        placeholder="–",
        height="content",
        column_config=_formats(),
        alt="Every gate: mean, spread, saturation, entropy and shares of its variance",
    )
    for note in [*notes, *without_entropy(summed)]:
        st.caption(note)
    if store.store.record.layout.varying:
        st.caption(
            "Spatial maps differ in size from photo to photo in this store, so only "
            "channel weights are summarised."
        )
    between = "between **classes**, and between **photos** of a class"
    if not classes:
        between = "and between **photos**"
    st.caption(
        "**Mean**, **spread** (over channels, or over the map), **saturated** (below "
        f"{SATURATED_LOW:g} or above {SATURATED_HIGH:g}) and **entropy** are means over photos; "
        "cells of a map count by their area on the photo. The other columns divide the gate's "
        f"variance: the **pattern** that is the same for all photos, {between}. A gate that is the "
        "same for every photo is a constant, not attention."
    )


def _formats() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    percent = "%.1f %%"
    return {
        **{name: number(format="%.3f") for name in ("Mean", "Spread", "Entropy")},
        "Saturated": number(format=percent),
        **{
            title: number(LABELS[key], help=f"Variance: {title.lower()}", format=percent)
            for key, title in SHARES.items()
        },
    }
