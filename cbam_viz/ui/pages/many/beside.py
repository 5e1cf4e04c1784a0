"""Two stores side by side: two networks, or one before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from cbam_viz.dataset import Change
from cbam_viz.ui import session
from cbam_viz.ui.parts import stores
from cbam_viz.ui.words import plain

ITS_PROFILE = "Its profile"


def draw(store: stores.Opened) -> None:
    """What is different in the other store, by layer and by class."""
    others = [name for name in stores.own() if name != store.name]
    if not others:
        st.info("There is no other store of yours. Make another one to compare it with.")
        return
    first = next((name for name in others if stores.have_in_common(store, name)), others[0])
    before = session.page_settings().values.get("other")
    name = st.selectbox("Compare with", others, **session.control("other", first, others))
    if before != store.name:  # which cannot be beside itself
        stores.say_if_gone(before, name, others)
    other = stores.opened(name)
    if not stores.have_in_common(store, name):
        st.info(
            f"{plain(stores.title(store.name))} and {plain(stores.title(name))} have no layer of "
            "one name and shape, so there is nothing to compare. Choose a store of the same "
            "network, or of one that is built like it."
        )
        return
    found = stores.changes(store, other)
    there, here = (plain(stores.title(one.name)) for one in (other, store))
    st.markdown(f"**{there}** minus **{here}**, by layer")
    classes = _classes(found)
    st.dataframe(
        {
            "Layer": [store.titles[one.layer] for one in found],
            "Module": [one.layer for one in found],
            "Gate": ["channels" if one.part == "channel" else "map" for one in found],
            "Mean": [one.mean for one in found],
            "Profile": [one.profile for one in found],
            "Spread": [one.spread for one in found],
            **classes,
        },
        key="many_changes",
        hide_index=True,
        height="content",
        column_config={
            **{key: st.column_config.NumberColumn(format="%+.3f") for key in ("Mean", "Spread")},
            **{
                key: st.column_config.NumberColumn(format="%.3f")
                for key in ("Profile", ITS_PROFILE)
            },
        },
        alt="What changed from one store to the other, by layer",
    )
    if _photos(store) != _photos(other):
        st.caption("The two stores hold different photos, which is part of the difference.")
    st.caption(
        "**Mean**: the other store's mean gate minus this one's. **Profile**: root mean squared "
        "difference of the mean gates, channel by channel or cell by cell"
        + ("; the last column has it for the class where it is largest" if classes else "")
        + ". **Spread**: the other store's mean standard deviation between photos minus this one's."
    )
    if not classes and store.store.classes and other.store.classes:
        st.caption("The two stores have no class in common, so no class is compared.")


def _classes(found: Sequence[Change]) -> dict[str, list[Any]]:
    """Columns of the class that changed most, by gate; none where no class is in both stores."""
    most = [one.most_changed for one in found]
    if not any(most):
        return {}
    changes = [
        None if label is None else one.classes[label]
        for one, label in zip(found, most, strict=True)
    ]
    return {"Most changed class": [label or "–" for label in most], ITS_PROFILE: changes}


def _photos(store: stores.Opened) -> list[str]:
    return sorted(store.store.photos["sha256"].to_pylist())
