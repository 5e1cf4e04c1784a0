"""Page Explore: one layer on the photo, its channel weights, and the prediction."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.render import fit_size
from cbam_viz.ui import session, words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.parts import (
    channel_panel,
    components,
    display_controls,
    downloads,
    layer_choice,
    pictures,
)
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.parts.prediction import top_classes
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session.link import SHOWS
from cbam_viz.ui.sidebar import photos

VIEWER = "explore_viewer"


@st.fragment
def page(scene: Scene) -> None:
    """Everything about one layer. A fragment: display controls rerun this and nothing else."""
    with boundary():
        layer = scene.layer()
        left, right = two_columns("explore")
        with left:
            layer_choice.draw(scene, layer)
            if layer.spatial is None:
                _photo_alone(scene, layer)
            else:
                _photo_with_map(scene, layer)
        with right:
            top_classes(scene.analysis)
            channel_panel.draw(scene, layer)
        session.write_url()


def _photo_with_map(scene: Scene, layer: LayerAttention) -> None:
    settings = session.settings()
    geometry = scene.analysis.geometry
    size = fit_size(scene.photo.size, pictures.PHOTO_SIDE)
    scale = scene.scale(layer)
    components.viewer(
        {
            "name": layer.name,
            "photo": scene.base_photo(),
            "layer": scene.layer_picture(layer),
            "show": settings.show,
            "opacity": settings.opacity,
            "size": size,
            "seen": pictures.seen_box(geometry, size),
            "alt": words.picture_alt(scene.photo, layer, geometry),
            "bar": pictures.colour_bar(scale, settings.colormap),
            "cells": pictures.readout(layer, geometry, size),
        },
        key=VIEWER,
        on_opacity_change=_take_opacity,
    )
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.segmented_control(
            "Show",
            list(SHOWS),
            format_func=SHOWS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **session.control("show"),
        )
        downloads.button(scene, layer)
    display_controls.draw()
    _say_what_was_seen(scene)


def _photo_alone(scene: Scene, layer: LayerAttention) -> None:
    st.image(pictures.preview(scene.photo), width="stretch", alt=scene.photo.name)
    st.info(
        f"{layer.name} has {words.composition(layer)}, so there is no map to draw on the photo. "
        "Its weights are beside it.",
        icon=":material/bar_chart:",
    )


def _say_what_was_seen(scene: Scene) -> None:
    texts = [photos.credit()] if photos.credit() else []
    texts += [*words.what_was_seen(scene.analysis.geometry), scene.analysis.fed]
    texts += words.missing(scene.analysis.attention)
    for text in texts:
        st.caption(words.plain(text))


def _take_opacity() -> None:
    state: Any = st.session_state[VIEWER]
    value = state.get("opacity")
    if isinstance(value, int | float) and 0 <= value <= 1:
        session.change(opacity=round(float(value), 2))
