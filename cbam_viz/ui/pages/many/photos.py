"""Photos in a list: thumbnails where the files are still there, and always a table."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import streamlit as st

from cbam_viz.dataset import Ranked, Store
from cbam_viz.dataset.originals import original
from cbam_viz.errors import CbamVizError
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.parts.stores import Opened
from cbam_viz.ui.words import plain

SIDE = 240
"""Longer side of a thumbnail, twice what it takes on the page."""
WIDTH = 120


def ranked(store: Opened, photos: Sequence[Ranked], number: str, key: str) -> None:
    """Photos in order, with the number that put them there."""
    shown = [(one, _thumbnail(store.key, one.photo, store.store)) for one in photos]
    there = [(one, picture) for one, picture in shown if picture is not None]
    if there:
        with st.container(horizontal=True, gap="small", key=f"many_pictures_{key}"):
            for one, picture in there:
                with st.container(width=WIDTH, gap=None):
                    st.image(picture, width="stretch", alt=one.name)
                    st.caption(f"{one.value:.3f} · {plain(one.label or 'no class')}")
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


@st.cache_data(max_entries=600, show_spinner=False)
def _thumbnail(key: Hashable, photo: int, _store: Store) -> bytes | None:
    """A small JPEG of the photo; None where its file is gone, has changed or cannot be read."""
    from cbam_viz.images import read_photo

    content = original(_store, photo)
    if content is None:
        return None
    try:
        return pictures.preview(read_photo(content), SIDE)
    except CbamVizError:
        return None
