"""Colour map and scale, on every page that draws maps. They never run the network."""

from __future__ import annotations

import streamlit as st

from cbam_viz.render import COLORMAPS
from cbam_viz.ui import session
from cbam_viz.ui.session.link import SCALES


def draw() -> None:
    """Colour map and scale, on every page that draws maps."""
    left, right = st.columns(2)
    with left:
        colours()
    right.selectbox(
        "Scale",
        list(SCALES),
        format_func=SCALES.__getitem__,
        help="What the ends of the colours stand for. Absolute: comparable between all layers and "
        "photos. Shared: from the lowest to the highest value of all layers. Per map: stretched "
        "to this map, which makes weak attention look strong.",
        **session.control("scale"),
    )


def colours(width: int | str = "stretch") -> None:
    """The colour map alone, where the scale is not the visitor's to choose."""
    st.selectbox("Colour map", COLORMAPS, width=width, **session.control("colormap"))  # type: ignore[arg-type]
