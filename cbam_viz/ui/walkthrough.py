"""Page How it works: CBAM step by step, with the numbers of this photo and layer.

Equations are those of the paper: Woo, Park, Lee, Kweon: CBAM, Convolutional Block Attention Module,
ECCV 2018, section 3.
"""

from __future__ import annotations

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.ui import layer_choice, session, steps_channel, steps_spatial
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.steps import Lesson

INTRODUCTION = (
    "A CBAM layer receives feature maps and decides twice what to keep: first **which channels** "
    "matter, then **which places**. Every number below was computed by this network on this photo."
)


@st.fragment
def page(scene: Scene) -> None:
    """All steps of one layer, for one of its channels."""
    with boundary():
        layer = scene.layer()
        st.markdown(INTRODUCTION)
        layer_choice.draw(scene, layer)
        with st.spinner("Reading this layer's features …"):
            details = scene.details(layer.name)
        if details.features is None:
            st.info("This layer's features could not be captured, so its steps cannot be shown.")
            return
        lesson = Lesson(scene, details, details.features, _channel(layer))
        steps_channel.draw(lesson)
        steps_spatial.draw(lesson)
        session.write_url()


def _channel(layer: LayerAttention) -> int:
    """The channel that the numbers follow: the chosen one, or the one with the highest weight."""
    if layer.channel is None:
        return 0
    weights = layer.channel[0]
    chosen = session.settings().channel
    if chosen is None or chosen >= len(weights):
        session.change(channel=int(weights.argmax()))
    st.number_input(
        "Channel to follow",
        min_value=0,
        max_value=len(weights) - 1,
        step=1,
        width=180,
        help="The numbers below follow this one of the layer's channels.",
        **session.control("channel"),
    )
    return int(session.settings().channel or 0)
