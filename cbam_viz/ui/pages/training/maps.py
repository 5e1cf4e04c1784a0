"""Maps of one layer on one probe photo: large at the chosen epoch, small at all of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from cbam_viz.analysis import Analysis
from cbam_viz.images import Photo
from cbam_viz.render import absolute_scale, colorbar, encode, overlay, place, resize_photo
from cbam_viz.runs import spaced
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.pages.training.runs import Opened, analysis
from cbam_viz.ui.words import plain

LARGE, SMALL = 560, 240
"""Longer side in pixels."""
WIDTH = 88
"""Of a picture in the strip, on the page."""
MOST = 24
"""Pictures in the strip; of more epochs, evenly spaced ones."""


@dataclass(frozen=True)
class Shown:
    """What is shown of a run: one layer on one photo, in which colours."""

    layer: str
    photo: int
    colormap: str
    opacity: float


def large(run: Opened, shown: Shown, number: int) -> None:
    """The map at the chosen epoch, with the colour bar."""
    alt = f"Spatial map of {shown.layer} at {run.run.called(number)}"
    st.image(_picture(run, shown, number, LARGE), width="stretch", alt=alt)
    st.image(_bar(shown.colormap), width="stretch", alt="Colours from 0 to 1")
    st.caption("Colours go from 0 (held back) on the left to 1 (let through) on the right.")


def strip(run: Opened, shown: Shown, chosen: int) -> None:
    """The same map at all epochs, in order."""
    numbers = sorted({*spaced(run.run.numbers, MOST), chosen})
    with st.container(horizontal=True, gap="small", key="training_strip"):
        for number in numbers:
            with st.container(width=WIDTH, gap=None):
                name = run.run.called(number)
                picture = _picture(run, shown, number, SMALL)
                st.image(picture, width="stretch", alt=f"{shown.layer} at {name}")
                st.caption(f"**{plain(name)}**" if number == chosen else plain(name))
    if len(numbers) < len(run.run.numbers):
        st.caption(
            f"{len(numbers)} of {len(run.run.numbers)} {run.run.record.unit}s, evenly spaced."
        )


def _picture(run: Opened, shown: Shown, number: int, side: int) -> bytes:
    return _encoded((run.key, shown, number, side), run)


@st.cache_data(max_entries=1000, show_spinner=False)
def _encoded(what: tuple[Hashable, Shown, int, int], _run: Opened) -> bytes:
    _, shown, number, side = what
    return encode(_drawn(analysis(_run, number, shown.photo), shown, side), "jpeg", 88)


def _drawn(found: Analysis, shown: Shown, side: int) -> np.ndarray:
    size = _size(found.photo, side)
    small = resize_photo(found.photo.shown, size)
    gates = found.attention[shown.layer]
    assert gates.cells is not None
    placed = place(pictures.spatial_map(gates), gates.cells, found.geometry, size)
    scale = absolute_scale()
    return overlay(small, placed, scale=scale, colormap=shown.colormap, opacity=shown.opacity)


def _size(photo: Photo, side: int) -> tuple[int, int]:
    """Of that longer side, also where the run's copy is smaller: its map is as smooth then."""
    factor = side / max(photo.size)
    return max(1, round(photo.size[0] * factor)), max(1, round(photo.size[1] * factor))


@st.cache_data(max_entries=10, show_spinner=False)
def _bar(colormap: str) -> bytes:
    return encode(colorbar(absolute_scale(), colormap, width=LARGE, height=10), "png")
