"""Page How it works: CBAM step by step, with the numbers of this photo and layer.

Equations are those of the paper: Woo, Park, Lee, Kweon: CBAM, Convolutional Block Attention Module,
ECCV 2018, section 3.
"""

from __future__ import annotations

import numpy as np
import streamlit as st

from cbam_viz.attention import LayerAttention, LayerFeatures
from cbam_viz.images import photo_shares
from cbam_viz.ui import session, words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.walk import steps_channel, steps_spatial
from cbam_viz.ui.pages.walk.steps import Lesson, picture, step
from cbam_viz.ui.parts import layer_choice, pictures
from cbam_viz.ui.scene import Scene

INTRODUCTION = {
    "channel then spatial": "first **which channels** matter, then **which places**",
    "spatial then channel": "first **which places** matter, then **which channels**",
    "parallel": "**which channels** matter and, beside it, **which places**",
    "channel": "**which channels** matter",
    "spatial": "**which places** matter",
}
ENDINGS = {
    "parallel": "Both results are brought together, and that goes on through the network.",
    "channel": "This layer has no spatial map: its walk ends here.",
    "spatial": "This layer has no channel weights: its walk ends here.",
}
ENDING = (
    "What comes out goes on through the network; in a residual block, the block's input is added "
    "to it."
)
PARTS = {"channel": steps_channel.draw, "spatial": steps_spatial.draw}


@st.fragment
def page(scene: Scene) -> None:
    """All steps of one layer, for one of its channels."""
    with boundary():
        layer = scene.layer()
        st.markdown(
            f"This layer receives feature maps and decides {INTRODUCTION[layer.composition]}. "
            "Every number below was computed by this network on this photo."
        )
        layer_choice.draw(scene, layer)
        for text in words.what_was_seen(scene.analysis.geometry):
            st.caption(text)
        with st.spinner("Reading this layer's features …"):
            details = scene.details(layer.name)
        if details.features is None:
            st.info("This layer's features could not be captured, so its steps cannot be shown.")
            return
        channel = _channel(scene, layer, details.features)
        lesson = Lesson(scene, details, details.features, channel)
        _features(lesson)
        for gate in lesson.gates:
            PARTS[gate](lesson)
        st.markdown(ENDINGS.get(layer.composition, ENDING))
        session.write_url()


def _features(lesson: Lesson) -> None:
    before = lesson.features.before[0].numpy()
    channels, rows, columns = before.shape
    equation = rf"F \in \mathbb{{R}}^{{{channels} \times {rows} \times {columns}}}"
    with step(lesson, "What the layer receives", equation) as (left, right):
        left.markdown(
            f"{channels} feature maps of {rows} × {columns} cells. Each map answers to one "
            f"kind of pattern. Beside the photo is channel {lesson.channel}."
        )
        with right:
            one, other = st.columns(2, wrap=False)
            one.image(
                pictures.preview(lesson.scene.photo, pictures.CARD_SIDE),
                caption="The photo",
                width="stretch",
                alt=lesson.scene.photo.name,
            )
            with other:
                picture(lesson, f"Channel {lesson.channel}", before[lesson.channel])


def _channel(scene: Scene, layer: LayerAttention, features: LayerFeatures) -> int:
    """The channel that the numbers follow: the chosen one, or the one that its gate takes most of.

    Not the one of the highest weight: a weight of 1 changes nothing, and there is nothing to see.
    Nor does it become the visitor's choice: on another photo another one has more to show.
    """
    before = features.before[0]
    shares = photo_shares((before.shape[1], before.shape[2]), layer.cells, scene.analysis.geometry)
    strength = np.tensordot(before.abs().numpy(), shares, 2)
    if layer.channel is not None:
        strength = strength * (1 - layer.channel[0]).abs().numpy()
    chosen = session.settings().channel
    if chosen is None or chosen >= len(strength):
        chosen = int(strength.argmax())
    st.number_input(
        "Channel to follow",
        min_value=0,
        max_value=len(strength) - 1,
        step=1,
        width=180,
        help="The numbers below follow this one of the layer's channels.",
        **session.control("channel", shown=chosen, along={"layer": layer.name}),
    )
    return chosen
