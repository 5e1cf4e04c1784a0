"""Page How it works: CBAM step by step, with the numbers of this photo and layer.

The steps are those that ran (`cbam_viz.steps`), in the words of the paper where the code is the
paper's: Woo, Park, Lee, Kweon: CBAM, Convolutional Block Attention Module, ECCV 2018, section 3.
"""

from __future__ import annotations

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.steps import WISHES, Walk, Wish, channels_of, walk
from cbam_viz.ui import session, words
from cbam_viz.ui.pages.walk import outcome
from cbam_viz.ui.pages.walk.drawing import Lesson, draw
from cbam_viz.ui.parts import layer_choice
from cbam_viz.ui.scene import Scene

INTRODUCTION = {
    "channel then spatial": "first **which channels** matter, then **which places**",
    "spatial then channel": "first **which places** matter, then **which channels**",
    "parallel": "**which channels** matter and, beside it, **which places**",
    "channel": "**which channels** matter",
    "spatial": "**which places** matter",
}
MISSING = {
    "channel": "This layer has no spatial map, so no places are weighed.",
    "spatial": "This layer has no channel weights, so no channels are weighed.",
}
BUTTONS: dict[Wish, str] = {
    "most taken": "Held back most",
    "largest": "Largest weight",
    "smallest": "Smallest weight",
}


def page(scene: Scene) -> None:
    """All steps of one layer, for one of its channels and one of its cells."""
    layer = scene.layer()
    st.markdown(
        f"This layer receives feature maps and decides {INTRODUCTION[layer.composition]}. "
        "Every number below was computed by this network on this photo."
    )
    layer_choice.draw(scene, layer)
    for text in words.what_was_seen(scene.analysis.geometry):
        st.caption(text)
    with st.spinner("Following this layer's computation …"):
        computed = scene.computed(layer.name)
    if computed.computation is None:
        st.info("This layer's operations could not be seen, so its steps cannot be shown.")
        return
    followed = _follow(scene, computed)
    lesson = Lesson(scene, followed)
    for number, step in enumerate(followed.steps, start=1):
        draw(lesson, number, step)
    if layer.composition in MISSING:
        st.markdown(MISSING[layer.composition])
    outcome.draw(scene, computed)


def _follow(scene: Scene, layer: LayerAttention) -> Walk:
    """Choose what the numbers follow, say why, and walk.

    What was not chosen does not become the visitor's choice: on another photo another channel has
    more to show. The one shown first is not that of the highest weight: a weight of 1 changes
    nothing, and there is nothing to see.
    """
    assert layer.computation is not None
    geometry, chosen = scene.analysis.geometry, scene.settings.channel
    count = layer.computation.gates[0].features.shape[1]
    if chosen is not None and chosen >= count:
        chosen = None
    followed = walk(layer, scene.loaded.model, geometry, channel=chosen)
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
    row, column = followed.cell
    st.markdown(
        f"The numbers follow **channel {followed.channel}**, {followed.channel_reason}, and **row "
        f"{row}, column {column}**, {followed.cell_reason}; it is framed in every picture. "
        "Channels, rows and columns count from 0."
    )
    return followed
