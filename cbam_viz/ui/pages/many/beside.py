"""Two stores side by side: two networks, or one before and after training."""

from __future__ import annotations

import streamlit as st

from cbam_viz.ui import session
from cbam_viz.ui.parts import stores
from cbam_viz.ui.words import plain


def draw(store: stores.Opened) -> None:
    """What is different in the other store, by layer and by class."""
    others = [name for name in stores.own() if name != store.name]
    if not others:
        st.info("There is no other store of yours. Make another one to compare it with.")
        return
    name = st.selectbox("Compare with", others, **session.control("other", others[0], others))
    other = stores.opened(name)
    found = stores.changes(store, other)
    there, here = (plain(stores.title(one.name)) for one in (other, store))
    st.markdown(f"**{there}** minus **{here}**, by layer")
    most = [max(one.classes, key=one.classes.__getitem__, default=None) for one in found]
    st.dataframe(
        {
            "Layer": [store.titles[one.layer] for one in found],
            "Module": [one.layer for one in found],
            "Gate": ["channel weights" if one.part == "channel" else "map" for one in found],
            "Mean": [one.mean for one in found],
            "Profile": [one.profile for one in found],
            "Spread": [one.spread for one in found],
            "Most changed class": [label or "–" for label in most],
            "Change of that class": [
                None if label is None else one.classes[label]
                for one, label in zip(found, most, strict=True)
            ],
        },
        key="many_changes",
        hide_index=True,
        height="content",
        column_config={
            **{key: st.column_config.NumberColumn(format="%+.3f") for key in ("Mean", "Spread")},
            **{
                key: st.column_config.NumberColumn(format="%.3f")
                for key in ("Profile", "Change of that class")
            },
        },
        alt="What changed from one store to the other, by layer",
    )
    if _photos(store) != _photos(other):
        st.caption("The two stores hold different photos, which is part of the difference.")
    st.caption(
        "**Mean**: the other store's mean gate minus this one's. **Profile**: root mean squared "
        "difference of the mean gates, channel by channel or cell by cell; the last column has it "
        "for one class. **Spread**: the other store's mean standard deviation between photos minus "
        "this one's."
    )


def _photos(store: stores.Opened) -> list[str]:
    return sorted(store.store.photos["sha256"].to_pylist())
