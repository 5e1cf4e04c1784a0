"""In one line: how far the two pictures agree, and how far chance would."""

from __future__ import annotations

import streamlit as st

from cbam_viz.ui import words
from cbam_viz.ui.parts.on_photo import OnPhoto
from cbam_viz.ui.scene import Scene


def line(scene: Scene, one: OnPhoto, other: OnPhoto) -> None:
    """Nothing where the pictures are not of the same photo, or one has no map."""
    first, second = one.field, other.field
    if first is None or second is None:
        return
    if one.photo.sha256 != other.photo.sha256:
        return
    if not words.are_numbers(first.values, second.values):
        return

    def compare() -> str:
        from cbam_viz.evaluation.agreement import agreement

        maps = (first.values, first.cells), (second.values, second.cells)
        return words.agreement(agreement(*maps, one.geometry, of_other=other.geometry))

    key = ("agreement", one.key, other.key)
    st.caption(scene.results.pictures.get_or_make(key, compare))
