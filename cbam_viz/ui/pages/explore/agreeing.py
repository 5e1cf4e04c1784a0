"""In one line: how far the two pictures agree, and how far chance would."""

from __future__ import annotations

import streamlit as st

from cbam_viz.ui import words
from cbam_viz.ui.parts.on_photo import OnPhoto
from cbam_viz.ui.scene import Scene


def line(scene: Scene, one: OnPhoto, other: OnPhoto) -> None:
    """Nothing where the pictures are not of the same photo in the same view, or one has no map."""
    first, second = one.field, other.field
    if first is None or second is None:
        return
    if one.photo.sha256 != other.photo.sha256 or one.geometry != other.geometry:
        return
    if not words.are_numbers(first.values, second.values):
        return

    def compare() -> str:
        from cbam_viz.evaluation.agreement import agreement

        found = agreement((first.values, first.cells), (second.values, second.cells), one.geometry)
        parts = []
        for name, value, title in (
            ("pearson", found.pearson, "Pearson"),
            ("spearman", found.spearman, "Spearman"),
            ("overlap", found.overlap, "overlap of the highest fifth (IoU)"),
        ):
            chance = found.chance[name]
            if value is not None and chance is not None:
                low, high = (f"{end:.2f}".replace("-", "−") for end in chance)
                said = f"{value:.2f}".replace("-", "−")
                parts.append(f"{title} **{said}** (chance: {low} to {high})")
        if found.pearson is None:
            return "One of the two maps is the same everywhere, so there is nothing to agree on."
        return (
            f"Agreement: {', '.join(parts)}. Chance is the middle 95 % of random maps with the "
            "second one's values, as smooth as it is."
        )

    key = ("agreement", one.key, other.key)
    st.caption(scene.results.pictures.get_or_make(key, compare))
