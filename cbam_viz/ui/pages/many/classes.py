"""Classes of a store: their mean weights, the channels that tell them apart, curves, distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import streamlit as st

from cbam_viz.charts.classes import LINES, class_curves, heat_map, sampled_channels
from cbam_viz.dataset import GateSummary, selectivity
from cbam_viz.dataset.clustering import IN_WORDS, cluster
from cbam_viz.dataset.gates import distances_between
from cbam_viz.layer_names import both_names
from cbam_viz.ui import session
from cbam_viz.ui.parts.stores import Opened, summary
from cbam_viz.ui.words import plain

ROWS, COLUMNS = 30, (16, 32, 64)
"""Classes in a heat map at most, and how many of the most selective channels there may be."""
CURVES, SAMPLED = 4, 50
"""Classes and channels of the SENet paper's figure."""
PANELS = 8
SQUARE, LEAST = 440, 260
"""Pixels: side of the distances' cells together, and the width that their legend takes."""
SHOWS = {"weights": "Mean weights", "difference": "Difference from the mean of all classes"}


def draw(store: Opened, layer: str) -> None:
    """The most selective channels, the heat map, the table and the distances of one layer."""
    one = summary(store, layer, "channel")
    if not _has_classes(one):
        return
    found = selectivity(one)
    st.subheader("Most class-selective channels", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        count = st.segmented_control(
            "Channels", COLUMNS, required=True, **session.control("top", COLUMNS[1], COLUMNS)
        )
        show = st.segmented_control(
            "Colours",
            list(SHOWS),
            format_func=SHOWS.__getitem__,
            required=True,
            **session.control("show", "weights", SHOWS),
        )
        clustered = st.checkbox("Clustered", **session.control("clustered", True))
    rows = _chosen(one, "classes", ROWS, ROWS)
    channels = found.order[:count]
    # Channels of one class stand together, so that the classes' blocks are seen.
    channels = channels[np.argsort(found.best[channels], kind="stable")]
    values = one.class_mean[rows][:, channels]
    if clustered and rows:
        order = cluster(values)
        rows = [rows[n] for n in order.order]
        channels = channels[cluster(values.T).order]
        values = one.class_mean[rows][:, channels]
    if show == "difference":
        values = values - one.class_mean.mean(0)[channels]
    _chart(
        heat_map(
            values,
            [one.classes[n] for n in rows],
            [str(channel) for channel in channels],
            scale="difference" if show == "difference" else "absolute",
            description=f"Mean channel weights at {store.titles[layer]}, by class.",
        ),
        "heat",
    )
    if len(rows) < len(one.classes):
        st.caption(
            f"{len(rows)} of {len(one.classes):,} classes are shown here and in the distances, at "
            "first those with most photos. Channels are ranked over all classes."
        )
    if clustered:
        st.caption(f"Classes and channels are ordered {IN_WORDS}.")
    first = found.order[:count]
    means, others = one.class_mean.max(0), _others(one)
    st.dataframe(
        {
            "Channel": first.tolist(),
            "Index": found.index[first],
            "Highest for": [one.classes[found.best[channel]] for channel in first],
            "Its mean": means[first],
            "Mean of the others": others[first],
        },
        key="many_selective",
        hide_index=True,
        height=246,
        column_config={
            name: st.column_config.NumberColumn(format="%.3f")
            for name in ("Index", "Its mean", "Mean of the others")
        },
        alt="Channels by how selective they are, the most selective first",
    )
    st.caption(
        "The index is (highest class mean − mean of the other classes' means) / (their sum): 0 if "
        "all classes are alike, 1 if the weight is 0 for all but one (Morcos and others, ICLR 2018,"
        " arXiv 1803.06959). With few photos in a class, part of it is chance. " + found.note
    )
    _table(one)
    _distances(one, rows)


def curves(store: Opened) -> None:
    """Mean weights of some classes over evenly sampled channels, as in SENet's figures."""
    layers = store.channel_layers
    last = st.multiselect(
        "Layers",
        layers,
        format_func=store.option,
        max_selections=PANELS,
        **session.control("layers", _last_of_stages(store), layers),
    )
    if not layers:
        st.info("This view is about channel weights, and the network of this store has none.")
        return
    if not last:
        st.info("Choose a layer.")
        return
    first = summary(store, last[0], "channel")
    if not _has_classes(first):
        return
    rows = _chosen(first, "lines", CURVES, len(LINES))
    if not rows:
        st.info("Choose a class.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sampled = st.number_input(
            "Channels", 2, 500, step=1, **session.control("sampled", SAMPLED, between=(2, 500)),
            width=140,
        )  # fmt: skip
        spread = st.checkbox("Spread within each class", **session.control("spread", False))
    for layer in last:
        one = summary(store, layer, "channel")
        at = [one.classes.index(first.classes[n]) for n in rows if first.classes[n] in one.classes]
        _chart(
            class_curves(
                one.class_mean[at],
                [one.classes[n] for n in at],
                one.class_mean.mean(0),
                sampled_channels(one.mean.size, sampled),
                spread=one.class_spread[at] if spread else None,
                title=both_names(layer, store.titles[layer]),
            ),
            f"curves_{layer}",
        )
    told = ", ".join(f"{first.classes[n]} {first.count[n]}" for n in rows)
    st.caption(
        f"Lines are means over all photos of a class in this store ({plain(told)}); the dashed "
        "line is the mean of all classes, each counting once. Channels are evenly spaced. "
        + ("Bands are one standard deviation between photos of the class. " if spread else "")
        + "The SENet paper draws 4 classes of 50 photos at 50 channels in the last block of each "
        "stage (arXiv 1709.01507, “Role of Excitation”)."
    )


def _has_classes(one: GateSummary) -> bool:
    if len(one.classes) > 1:
        return True
    what = "have no classes" if not one.classes else f"are of one, {plain(one.classes[0])}"
    st.info(
        f"This view compares classes, and the photos of this store {what}. Put the photos of each "
        "class into a folder of its own, or give cbam-viz batch --labels."
    )
    return False


def _chosen(one: GateSummary, name: str, default: int, most: int) -> list[int]:
    """The classes that are shown; those with most photos until the visitor chooses."""
    order = np.argsort(-one.count, kind="stable")[:default]
    first = [one.classes[n] for n in sorted(order)]
    names = list(one.classes)
    wanted = st.multiselect(
        "Classes", names, max_selections=most, **session.control(name, first, names)
    )
    return [one.classes.index(label) for label in (wanted or (first if name == "classes" else []))]


def _others(one: GateSummary) -> np.ndarray:
    top = one.class_mean.max(0)
    found: np.ndarray = (one.class_mean.sum(0) - top) / (len(one.classes) - 1)
    return found


def _last_of_stages(store: Opened) -> list[str]:
    """The last layer with channel weights of each stage, in order."""
    stages = {one["name"]: one["stage"] for one in store.store.layers}
    last = {stages[name]: name for name in store.channel_layers}
    return list(last.values())[-PANELS:]


def _table(one: GateSummary) -> None:
    st.subheader("By class", anchor=False)
    st.dataframe(
        {
            "Class": list(one.classes),
            "Photos": one.count,
            "Mean": one.class_numbers["mean"],
            "Spread": one.class_numbers["spread"],
            "Saturated": 100 * one.class_numbers["saturated"],
            "Entropy": one.class_numbers["entropy"],
        },
        key="many_classes",
        hide_index=True,
        height="content" if len(one.classes) <= ROWS else 500,
        column_config={
            **{
                name: st.column_config.NumberColumn(format="%.3f")
                for name in ("Mean", "Spread", "Entropy")
            },
            "Saturated": st.column_config.NumberColumn(format="%.1f %%"),
        },
        alt="Each class: photos, mean, spread, saturation and entropy of its channel weights",
    )


def _distances(one: GateSummary, rows: Sequence[int]) -> None:
    st.subheader("Distances between classes", anchor=False)
    names = [one.classes[n] for n in rows]
    side = int(np.clip(SQUARE // len(names), 22, 64))
    _chart(
        heat_map(
            distances_between(one.class_mean[rows]),
            names,
            names,
            scale="distance",
            column_title="class",
            description=f"Distances between the mean channel weights of classes at {one.layer}.",
            cell=side,
        ),
        "distances",
        # With room for names and the axis's title, so that cells are about as wide as high.
        width=max(LEAST, side * len(names) + min(110, 7 * max(map(len, names))) + 30),
    )
    st.caption("Root mean squared difference of the mean channel weights of two classes.")


def _chart(spec: dict, key: str, width: Literal["stretch"] | int = "stretch") -> None:  # type: ignore[type-arg]
    st.vega_lite_chart(spec=spec, key=f"many_{key}", width=width)
