"""Pictures on a photo in the viewer: one, or two with one cursor, one zoom and one scale."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from cbam_viz.ui import session
from cbam_viz.ui.drawing import found, pictures
from cbam_viz.ui.drawing.on_photo import OnPhoto, on_one_scale
from cbam_viz.ui.parts import components
from cbam_viz.ui.scene import Scene


def draw(scene: Scene, *sides: OnPhoto, key: str) -> tuple[OnPhoto, ...]:
    """Draw one picture or two beside each other; returns them as they were coloured.

    `key` is unique on the page.
    """
    sides = on_one_scale(*sides)
    settings = scene.settings
    fields = [side.field for side in sides if side.field is not None]
    lines = settings.show == "contours"
    several = len({field.unit for field in fields}) > 1
    bars = [
        pictures.colour_bar(
            field.scale, settings.colormap, lines=lines, name=field.unit if several else "Scale"
        )
        for field in (fields if several else fields[:1])
    ]
    first, *second = (_side(side, scene) for side in sides)
    components.viewer(
        first
        | {
            "second": second[0] if second else None,
            "show": settings.show,
            "style": "smooth" if lines else settings.cells,
            "opacity": settings.opacity,
            "bar": bars[0] if bars else None,
            "second_bar": bars[1] if len(bars) > 1 else None,
        },
        key=key,
        on_opacity_change=partial(_take_opacity, key),
    )
    return sides


def _side(side: OnPhoto, scene: Scene) -> dict[str, Any]:
    """One picture for the browser."""
    made = scene.results.pictures
    size = pictures.screen_size(side.photo.size, pictures.PHOTO_SIDE)
    return {
        "name": side.name,
        "title": side.title,
        "subtitle": side.provenance,
        "frame": side.photo.sha256,
        "photo": made.get_or_make(
            (side.photo.sha256, side.geometry),
            lambda: pictures.base_photo(side.photo, side.geometry),
        ),
        "layer": None if side.field is None else _layer(side, scene),
        "size": size,
        "seen": pictures.seen_box(side.geometry, size),
        "alt": side.alt,
        "cells": None if side.field is None else pictures.readout(side, size),
        "found": _found(side, size, scene),
    }


def _layer(side: OnPhoto, scene: Scene) -> str:
    settings = scene.settings
    assert side.field is not None
    how = {"show": settings.show, "style": settings.cells, "colormap": settings.colormap}
    return scene.results.pictures.get_or_make(
        (side.key, side.field.scale, *how.values()), lambda: pictures.field_layer(side, **how)
    )


def _found(side: OnPhoto, size: tuple[int, int], scene: Scene) -> list[dict[str, Any]]:
    """Outlines of what was found, where the visitor wants them."""
    detections = side.found
    if detections is None or not scene.settings.found:
        return []
    return scene.results.pictures.get_or_make(
        ("found", side.key, size), lambda: found.marks(detections, side.geometry, size)
    )


def _take_opacity(key: str) -> None:
    state: Any = st.session_state[key]
    value = state.get("opacity")
    if isinstance(value, int | float) and 0 <= value <= 1:
        session.change(opacity=round(float(value), 2))
