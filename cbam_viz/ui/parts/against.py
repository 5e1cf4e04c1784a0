"""A store that the photo is seen against: chosen on one page, heeded by all that show layers."""

from __future__ import annotations

import math

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.charts.channels import Around
from cbam_viz.dataset.against import Against, Among, against, differing, is_as_there
from cbam_viz.dataset.telling import is_constant
from cbam_viz.errors import StoreError
from cbam_viz.ui import session
from cbam_viz.ui.parts import stores
from cbam_viz.ui.parts.stores import Opened
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.words import plain

LISTED = 10
HERE_TOO, NOT_HERE = "a constant", "but not on this one"
"""How it is said of a gate that is the same for every photo of a store what it is on this one."""
CONSTANTS = {HERE_TOO: "a constant", NOT_HERE: "a constant there"}
"""The same in a word, by how the sentence ends."""


def choose(scene: Scene) -> Opened | None:
    """The store to compare with, if one is chosen that is of this network, view and input.

    Nothing is drawn where there is no store. Why one cannot be taken is said.
    """
    names = stores.own()
    wanted = scene.settings.against
    if not names and wanted is None:
        return None
    st.selectbox(
        "Compare with a store of photos",
        [None, *names],
        format_func=lambda name: "none" if name is None else name,
        placeholder="none",
        help="Shows beside each weight the mean and spread of the store's photos. Stores are made "
        "on the page Many photos, or by cbam-viz batch.",
        **session.control("against", among=[None, *names]),
    )
    if wanted is None:
        return None
    if wanted not in names:
        st.info(f"The store {plain(wanted)} is no longer there.")
        return None
    try:
        store = stores.opened(wanted)
    except StoreError as error:
        st.info(plain(str(error)))
        return None
    reason = differing(store.store, scene.loaded, scene.view)
    if reason:
        st.info(
            f"The photo cannot be compared with {plain(store.name)}, which was made with "
            f"{plain(reason)}."
        )
        return None
    return store


def compare(scene: Scene, store: Opened, layer: LayerAttention) -> Against | None:
    """The layer's channel weights against the store's; None where it has none of them."""
    if layer.channel is None or layer.name not in store.channel_layers:
        st.caption("This store has no channel weights of this layer.")
        return None
    one = stores.summary(store, layer.name, "channel")
    predictions = scene.analysis.predictions
    label = predictions[0].label if predictions else None
    try:
        return against(
            one,
            layer.channel[0].double().numpy(),
            label if label in one.classes else None,
            precision=store.store.record.layout.precision,
        )
    except StoreError as error:
        st.caption(plain(str(error)))
        return None


def around(found: Against) -> Around:
    """What the bars show of it."""
    among = found.store
    text = f"mean and standard deviation of {among.photos:,} photos"
    return Around(among.mean, among.spread, among.z, text)


def told(scene: Scene, store: Opened, found: Against) -> None:
    """The channels that are special about this photo, and what the numbers rest on."""
    if found.without_z:
        st.info(plain(found.without_z))
    else:
        st.markdown(
            f"**Compared with {plain(store.name)}** · z over all channels {found.whole:.2f}, where "
            "1 is typical"
        )
        _table(found)
        st.caption(
            "z is (weight − mean) / standard deviation between the store's photos. "
            + plain(found.store.note)
        )
    if found.constant.any() and not found.without_z:
        moved = int(found.moved.sum())
        st.caption(
            f"{int(found.constant.sum())} channels are the same for every photo of the store and "
            f"have no z; on this photo, {moved} of them differ from that."
        )
    if found.of_class is not None and found.of_class.note:
        st.caption(plain(found.of_class.note))
    if scene.photo.sha256 in store.digests:
        st.caption("This photo is in the store.")


def flags(scene: Scene, store: Opened, layer: LayerAttention) -> tuple[str, ...]:
    """Which of a layer's gates are the same for every photo of the store, in words."""
    parts = {"channel": ("channel weights", layer.channel), "spatial": ("map", layer.spatial)}
    found = []
    for name, part in store.gates:
        title, gate = parts[part]
        if name == layer.name and gate is not None:
            one = stores.summary(store, name, part)
            if is_constant(one):
                here = is_as_there(one, gate[0].numpy(), store.store.record.layout.precision)
                found.append(
                    f"{title}: the same for all {one.photos:,} photos of {store.name}, "
                    + (HERE_TOO if here else NOT_HERE)
                )
    return tuple(found)


def _table(found: Against) -> None:
    first = [n for n in found.order[:LISTED].tolist() if math.isfinite(found.store.z[n])]
    columns: dict[str, list[float]] = {
        "Channel": first,
        "z": found.store.z[first].tolist(),
        "Weight": found.weights[first].tolist(),
        "Mean": found.store.mean[first].tolist(),
        "Spread": found.store.spread[first].tolist(),
    }
    if found.of_class is not None:
        columns[_z_of(found.of_class)] = found.of_class.z[first].tolist()
    number = st.column_config.NumberColumn
    st.dataframe(
        columns,
        key="against_table",
        hide_index=True,
        height="content",
        column_config={
            name: number(format="%+.2f" if name.startswith("z") else "%.3f")
            for name in columns
            if name != "Channel"
        },
        alt="The channels whose weight is furthest from the store's mean, by z-score",
    )


def _z_of(among: Among) -> str:
    return f"z in {among.label}"
