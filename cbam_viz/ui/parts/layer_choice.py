"""Choosing a layer: the list, and a step to either side."""

from __future__ import annotations

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.ui import session, words
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.scene import Scene

PREDICATES = ("untrained", "flat", "saturated", "nearly binary")


def draw(scene: Scene, layer: LayerAttention) -> None:
    """The layer's name to choose from, neighbours, and what kind of layer it is."""
    choose(scene, layer)
    describe(scene, layer)


def choose(scene: Scene, layer: LayerAttention) -> None:
    """The layer's name to choose from, and a step to either side: as high for every layer."""
    names = list(scene.layers)
    position = names.index(layer.name)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", wrap=False):
        st.selectbox(
            f"Layer {position + 1} of {len(names)}, from the first to the last",
            names,
            format_func=lambda name: words.layer_option(
                scene.layers[name], scene.titles.layers[name]
            ),
            help=hint("gate", "channel weight", "spatial map"),
            **session.control("layer", among=names, shown=layer.name),
        )
        _step("Previous", "chevron_left", names, position - 1)
        _step("Next", "chevron_right", names, position + 1)


def describe(scene: Scene, layer: LayerAttention) -> None:
    """What kind of layer it is, and what is wrong with its gates on this photo."""
    gates = words.composition(layer)
    facts = [gates[:1].upper() + gates[1:], words.proof(layer)]
    facts += words.of_cells(layer, scene.analysis.geometry)
    st.caption(" · ".join(facts), help=hint(*facts))
    numbers = next(one for one in scene.statistics() if one.name == layer.name)
    for flag in numbers.flags:
        sentence = f"This layer is {flag}." if flag.startswith(PREDICATES) else f"{flag}."
        # Not a caption: those are faded, and orange would be too faint to read.
        st.markdown(
            f":small[:orange[:material/flag: {words.plain(sentence)}]]", help=hint(sentence)
        )


def _step(text: str, icon: str, names: list[str], target: int) -> None:
    inside = 0 <= target < len(names)
    st.button(
        text,
        icon=f":material/{icon}:",
        key=f"layer_{text.lower()}",
        disabled=not inside,
        on_click=session.change,
        kwargs={"layer": names[target], "channel": None} if inside else None,
    )
