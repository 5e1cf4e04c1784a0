"""Photos in a list: thumbnails where the files are still there, and always a table."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import streamlit as st

from cbam_viz.dataset import Ranked, Store
from cbam_viz.dataset.showing import seen
from cbam_viz.errors import CbamVizError
from cbam_viz.render import absolute_scale, encode, fit_size, overlay, place, resize_photo
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.parts.stores import Opened
from cbam_viz.ui.words import plain

SIDE = 240
"""Longer side of a thumbnail, twice what it takes on the page and more."""
WIDTH = 104
"""Pixels: eight stand in a row beside the sidebar of a usual window, three on a phone."""


def ranked(store: Opened, layer: str, photos: Sequence[Ranked], number: str, key: str) -> None:
    """Photos in order under the layer's map, with the number that put them there."""
    shown = [(one, _thumbnail(store.key, layer, one.photo, store.store)) for one in photos]
    has_map = (layer, "spatial") in store.store.gates()
    over = f", under the spatial map of {layer}" if has_map else ""
    there = [(one, picture) for one, picture in shown if picture is not None]
    if there:
        with st.container(horizontal=True, gap="small", key=f"many_pictures_{key}"):
            for one, picture in there:
                with st.container(width=WIDTH, gap=None):
                    st.image(picture, width="stretch", alt=f"{one.name}{over}")
                    st.caption(f"{one.value:.3f} · {plain(one.label or 'no class')}")
        if has_map:
            st.caption(
                f"Photos are under the spatial map of {plain(layer)}, {absolute_scale().label}."
            )
    if len(there) < len(shown):
        gone = len(shown) - len(there)
        st.caption(
            "The photo is no longer where it was, or has changed, so it has no picture."
            if len(shown) == 1
            else f"{gone} of {len(shown)} photos {'is' if gone == 1 else 'are'} no longer where "
            f"{'it was' if gone == 1 else 'they were'}, or {'has' if gone == 1 else 'have'} "
            "changed, so there is no picture."
        )
    with st.expander("As a table", expanded=not there):
        st.dataframe(
            {
                "Photo": [one.name for one in photos],
                "Class": [one.label or "–" for one in photos],
                number: [one.value for one in photos],
            },
            key=f"many_table_{key}",
            hide_index=True,
            height="content",
            column_config={number: st.column_config.NumberColumn(format="%.4f")},
            alt=f"Photos with their class and {number.lower()}",
        )


def alone(store: Opened, layer: str, photo: int) -> None:
    """The photo that others are looked for, if it has a picture; else nothing."""
    picture = _thumbnail(store.key, layer, photo, store.store)
    if picture is None:
        return
    told = store.store.photos.slice(store.store.row_of(photo), 1).to_pylist()[0]
    with st.container(width=WIDTH, gap=None, key="many_picture_alone"):
        st.image(picture, width="stretch", alt=f"{told['name']}, the photo itself")
        st.caption(plain(told["label"] or "no class"))


@st.cache_data(max_entries=600, show_spinner=False)
def _thumbnail(key: Hashable, layer: str, photo: int, _store: Store) -> bytes | None:
    """A small JPEG of the photo under the layer's map, if that has one.

    None where its file is gone, has changed or cannot be read.
    """
    try:
        one = seen(_store, _store.row_of(photo), (layer,))
    except CbamVizError:
        return None
    if not one.there:
        return None
    shown = one.analysis
    gates = shown.attention.get(layer)
    if gates is None or gates.spatial is None or gates.cells is None:
        return pictures.preview(shown.photo, SIDE)
    size = fit_size(shown.photo.size, SIDE)
    placed = place(pictures.spatial_map(gates), gates.cells, shown.geometry, size)
    small = resize_photo(shown.photo.shown, size)
    return encode(overlay(small, placed, scale=absolute_scale()), "jpeg", 85)
