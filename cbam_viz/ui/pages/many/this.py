"""The photo of the sidebar against those of a store: what is special about its channel weights."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import streamlit as st

from cbam_viz.dataset.telling import ROUNDING
from cbam_viz.ui.pages.many.stores import Opened, summary
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.words import plain

SHOWN = 20


def draw(scene: Scene, store: Opened, layer: str) -> None:
    """The channels whose weight is furthest from the mean, in standard deviations."""
    reason = _other(scene, store)
    if reason:
        st.info(f"The photo cannot be compared with this store, which was made with {reason}.")
        return
    one, gates = summary(store, layer, "channel"), scene.layers.get(layer)
    if gates is None or gates.channel is None or gates.channel.shape[1] != one.mean.size:
        st.info("This layer gave no such channel weights for the photo.")
        return
    weights = gates.channel[0].double().numpy()
    varies = one.spread > ROUNDING
    z = np.divide(weights - one.mean, one.spread, out=np.zeros_like(weights), where=varies)
    first = np.argsort(-np.abs(z), kind="stable")[: min(SHOWN, int(varies.sum()))]
    if not first.size:
        st.info("Channel weights of this layer are the same for every photo of the store.")
        return
    whole = float(np.sqrt(np.square(z[varies]).mean()))
    st.markdown(
        f"**{plain(scene.photo.name)}** · z over all channels {whole:.2f}, where 1 is ordinary"
    )
    st.dataframe(
        {
            "Channel": first,
            "z": z[first],
            "Weight": weights[first],
            "Mean of the store": one.mean[first],
            "Standard deviation": one.spread[first],
        },
        key="many_this",
        hide_index=True,
        height="content",
        column_config={
            "z": st.column_config.NumberColumn(format="%+.2f"),
            **{
                name: st.column_config.NumberColumn(format="%.3f")
                for name in ("Weight", "Mean of the store", "Standard deviation")
            },
        },
        alt="The channels whose weight is furthest from the store's mean, by z-score",
    )
    st.caption(
        "z is (weight − mean of all photos of the store) / standard deviation between them. "
        "Channels that are the same for all of them are left out."
    )


def _other(scene: Scene, store: Opened) -> str:
    """In what the store was made otherwise than the photo is shown; empty if in nothing."""
    made, loaded = store.store.record.fingerprint, scene.loaded
    if made.get("checkpoint") != loaded.sha256 or made.get("network") != loaded.name:
        return "another network. Choose that one in the sidebar"
    if made.get("view") != scene.view:
        return "the other choice of what the network sees. Change it in the sidebar"
    if made.get("input") != json.dumps(asdict(loaded.spec), sort_keys=True):
        return "another input. Change it in the sidebar"
    return ""
