"""Page Explore: one layer on the photo, its channel weights, the prediction; or two compared."""

from __future__ import annotations

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing import found
from cbam_viz.ui.drawing.on_photo import OnPhoto
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.explore import agreeing, by_method, second
from cbam_viz.ui.parts import channel_panel, display_controls, downloads, layer_choice, viewer
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.parts.prediction import top_classes
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session.link import CELLS, SHOWS
from cbam_viz.ui.sidebar import photos

VIEWER = "explore_viewer"


def page(scene: Scene) -> None:
    """Everything about one layer.

    What is above the picture is as high for every layer, so that the picture stays where it is.
    """
    layer = scene.layer()
    if second.is_wanted(scene.settings):
        _two(scene, layer)
    else:
        _one(scene, layer)


def _one(scene: Scene, layer: LayerAttention) -> None:
    left, right = two_columns("explore")
    with left:
        layer_choice.choose(scene, layer)
        sides = viewer.draw(scene, scene.on_photo(layer), key=VIEWER)
        _notes(scene, layer)
        _controls(scene, layer, *sides)
        _about(scene)
    with right:
        top_classes(scene.analysis)
        _share(scene, layer)
        channel_panel.draw(scene, layer)


def _share(scene: Scene, layer: LayerAttention) -> None:
    """How much of the layer's map lies on what the network found."""
    share = scene.share(layer)
    if share is not None and scene.analysis.detections is not None:
        st.caption(words.plain(found.share_in_words(share, scene.analysis.detections)))


def _two(scene: Scene, layer: LayerAttention) -> None:
    beside = None
    left, right = two_columns("explore_choice", (1, 1))
    with left:
        layer_choice.choose(scene, layer)
    with right, boundary():
        beside = second.choose(scene, layer)
    sides = [scene.on_photo(layer)] + ([] if beside is None else [beside.picture])
    sides = list(viewer.draw(scene, *sides, key=VIEWER))
    if len(sides) == 2:
        agreeing.line(scene, *sides)
    left, right = two_columns("explore_below", (1, 1))
    with left:
        _notes(scene, layer)
    if beside is not None:
        with right:
            _notes_beside(beside)
    _controls(scene, layer, *sides)
    left, right = two_columns("explore", (1, 1))
    with left:
        top_classes(scene.analysis)
        channel_panel.draw(scene, layer)
    if beside is not None:
        with right:
            top_classes(beside.scene.analysis, "prediction_beside")
    _about(scene)


def _controls(scene: Scene, layer: LayerAttention, *sides: OnPhoto) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if any(side.field is not None for side in sides):
            _segments("Show", "show", SHOWS)
            if scene.settings.show != "contours":
                _segments("Cells", "cells", CELLS)
        if scene.analysis.detections:
            st.toggle("Detections", **session.control("found"))
        downloads.button(scene, *sides)
    second.offer(scene, layer)
    display_controls.draw()


def _segments(label: str, name: str, options: dict[str, str]) -> None:
    st.segmented_control(
        label,
        list(options),
        format_func=options.__getitem__,
        required=True,
        label_visibility="collapsed",
        **session.control(name),
    )


def _notes(scene: Scene, layer: LayerAttention) -> None:
    """What kind of layer it is and what is wrong with it, in a place reserved for that."""
    with st.container(key="explore_notes", gap="xsmall"):
        layer_choice.describe(scene, layer)
        if layer.spatial is None:
            st.info(
                f"{layer.name} has {words.composition(layer)}, so there is no map to draw on the "
                "photo. Its channel weights are in the chart.",
                icon=":material/bar_chart:",
            )


def _notes_beside(beside: second.Beside) -> None:
    scene = beside.scene
    with st.container(key="explore_notes_beside", gap="xsmall"):
        if beside.found is not None:
            by_method.describe(beside.found)
        elif beside.layer is None:
            st.caption("This network has no attention: there is no map, only its prediction.")
        else:
            layer_choice.describe(scene, beside.layer)
        for text in (second.credit(scene.settings), *words.what_was_seen(scene.analysis.geometry)):
            if text:
                st.caption(words.plain(text))


def _about(scene: Scene) -> None:
    texts = [photos.credit()] if photos.credit() else []
    texts += [*words.what_was_seen(scene.analysis.geometry)]
    texts += [words.what_was_assumed(scene.analysis), *words.missing(scene.analysis.attention)]
    for text in filter(None, texts):
        st.caption(words.plain(text))
