"""The photo of the sidebar against those of a store: what is special about its channel weights."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cbam_viz.dataset.against import against, differing
from cbam_viz.ui.parts.stores import Opened, summary
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.words import plain

SHOWN = 20


def draw(scene: Scene, store: Opened, layer: str) -> None:
    """The channels whose weight is furthest from the mean, in standard deviations."""
    reason = differing(store.store, scene.loaded, scene.view)
    if reason:
        st.info(
            f"The photo cannot be compared with this store, which was made with {plain(reason)}. "
            "Choose the same in the sidebar."
        )
        return
    one, gates = summary(store, layer, "channel"), scene.layers.get(layer)
    if gates is None or gates.channel is None or gates.channel.shape[1] != one.mean.size:
        st.info("On this photo, the layer gave no channel weights that match the store.")
        return
    precision = store.store.record.layout.precision
    found = against(one, gates.channel[0].double().numpy(), precision=precision)
    z, weights, whole = found.store.z, found.weights, found.whole
    first = found.order[: min(SHOWN, int(np.isfinite(z).sum()))]
    if not first.size:
        st.info(plain(found.without_z))
        return
    st.markdown(
        f"**{plain(scene.photo.name)}** · z over all channels {whole:.2f}, where 1 is typical"
    )
    st.dataframe(
        {
            "Channel": first,
            "z": z[first],
            "Weight": weights[first],
            "Mean": one.mean[first],
            "Spread": one.spread[first],
        },
        key="many_this",
        hide_index=True,
        height="content",
        column_config={
            "z": st.column_config.NumberColumn(format="%+.2f"),
            **{
                name: st.column_config.NumberColumn(format="%.3f")
                for name in ("Weight", "Mean", "Spread")
            },
        },
        alt="The channels whose weight is furthest from the store's mean, by z-score",
    )
    st.caption(
        "**z** is (weight − mean) / spread: **mean** and **spread** are those of all photos of the "
        "store, the spread as standard deviation. "
        "Channels that are the same for all of them are left out. " + plain(found.store.note)
    )
