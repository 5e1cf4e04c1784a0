"""Page How it works: CBAM step by step, with the numbers of this photo and layer.

The steps are those that ran (`cbam_viz.steps`), in the words of the paper where the code is the
paper's: Woo, Park, Lee, Kweon: CBAM, Convolutional Block Attention Module, ECCV 2018, section 3.
"""

from __future__ import annotations

import streamlit as st

from cbam_viz.ui import words
from cbam_viz.ui.pages.walk import outcome
from cbam_viz.ui.pages.walk.drawing import Lesson, draw
from cbam_viz.ui.pages.walk.following import follow, style
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
    followed = follow(scene, computed)
    lesson = Lesson(scene, followed, style())
    for number, step in enumerate(followed.steps, start=1):
        draw(lesson, number, step)
    if layer.composition in MISSING:
        st.markdown(MISSING[layer.composition])
    outcome.draw(scene, computed)
