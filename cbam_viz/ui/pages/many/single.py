"""Single channels and single photos among all the photos of a store."""

from __future__ import annotations

import streamlit as st

from cbam_viz.ui import session
from cbam_viz.ui.pages.many import photos
from cbam_viz.ui.parts.stores import (
    Opened,
    highest_and_lowest,
    most_unusual,
    nearest,
    summary,
)
from cbam_viz.ui.words import plain

LISTED = 100
"""Photos in the list to choose from; a name, or a part of it, finds all others."""


def channel(store: Opened, layer: str) -> None:
    """The photos where one channel's weight is highest and lowest."""
    one = summary(store, layer, "channel")
    last, varies_most = one.mean.size - 1, int(one.spread.argmax())
    chosen = st.number_input(
        "Channel", 0, last, step=1, width=160,
        **session.control("channel", varies_most, between=(0, last)),
    )  # fmt: skip
    st.markdown(
        f"**Channel {chosen}** · mean weight {one.mean[chosen]:.3f} · standard deviation "
        f"between photos {one.spread[chosen]:.3f}"
    )
    highest, lowest = highest_and_lowest(store, layer, chosen)
    st.subheader("Highest", anchor=False)
    photos.ranked(store, layer, highest, "Weight", "highest")
    st.subheader("Lowest", anchor=False)
    photos.ranked(store, layer, lowest, "Weight", "lowest")


def photo(store: Opened, layer: str) -> None:
    """The photos whose channel weights are most like those of one."""
    text = st.text_input(
        "Find by name", placeholder="part of a name", **session.control("find", "")
    )
    names = store.store.photos["name"].to_pylist()
    numbers = store.store.photos["photo"].to_pylist()
    found = [n for n, name in zip(numbers, names, strict=True) if text.lower() in name.lower()]
    if not found:
        st.info(f"No photo of this store has “{plain(text)}” in its name.")
        return
    called = dict(zip(numbers, names, strict=True))
    listed = found[:LISTED]
    own = session.page_settings()
    wanted = str(own.values.get("photo", own.link.get("photo")))
    if not text:  # found by its name before, or of a link
        listed = [n for n in found[LISTED:] if str(n) == wanted] + listed
    chosen = st.selectbox(
        "Photo", listed, format_func=called.__getitem__,
        **session.control("photo", listed[0], listed),
    )  # fmt: skip
    if len(found) > LISTED:
        st.caption(f"The first {LISTED} of {len(found):,} are listed.")
    photos.alone(store, layer, chosen)
    st.subheader("Nearest by channel weights", anchor=False)
    others = nearest(store, layer, chosen)
    if not others:
        st.info("No other photo of this store has channel weights of this layer.")
        return
    photos.ranked(store, layer, others, "Distance", "nearest")
    st.caption("Distance: root mean squared difference of the channel weights of two photos.")


def unusual(store: Opened, layer: str) -> None:
    """The photos whose channel weights are furthest from the mean of all."""
    found = most_unusual(store, layer)
    if not found:
        alone = summary(store, layer, "channel").photos < 2
        st.info(
            "Only one photo has gates of this layer, so there is nothing that it could differ from."
            if alone
            else "Channel weights of this layer are the same for every photo: none is unusual."
        )
        return
    photos.ranked(store, layer, found, "z", "unusual")
    st.caption(
        "z is the root mean square, over channels, of (weight − mean of all photos) / standard "
        "deviation; 1 is typical."
    )
