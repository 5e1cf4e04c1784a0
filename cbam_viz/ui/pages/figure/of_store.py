"""Figures of a store on the page Figure: which store, and what of it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from cbam_viz.figures.ask import registry
from cbam_viz.figures.content.stores.against import SHOWN
from cbam_viz.figures.content.stores.ranked import LISTED
from cbam_viz.render import COLORMAPS
from cbam_viz.ui.parts import stores
from cbam_viz.ui.parts.stores import Opened
from cbam_viz.ui.session import control, page_settings
from cbam_viz.ui.words import plain

SOURCES = {"photos": "Photos", "store": "A store of many photos"}
LAYOUTS = {
    "curves": "Curves of classes",
    "classes": "Classes",
    **{
        name: one.title
        for name, one in registry.LAYOUTS.items()
        if "store" in one.of and "photos" not in one.of
    },
}
"""What a figure of a store shows; the first two are variants of channel weights."""
CLASSES = {"curves": 1, "classes": 2, "distances": 2}
"""How many classes the photos must be of, at least."""
OF_ALL_GATES = ("variance", "stores")
"""Shown of every gate; the others are of channel weights."""
ORDERS = {"cluster": "clustered", "index": "by index", "weight": "highest mean first"}


def is_wanted() -> bool:
    """Whether the figure is of a store; nothing is asked where there is none."""
    if not stores.names():
        return False
    source = st.segmented_control(
        "Made of",
        list(SOURCES),
        format_func=SOURCES.__getitem__,
        required=True,
        **control("source", "photos", list(SOURCES)),
    )
    return bool(source == "store")


def choose() -> tuple[dict[str, Any], tuple[Opened, ...]]:
    """Settings of the figure, and its stores. Raises StoreError for one that cannot be read."""
    names = stores.names()
    name = st.selectbox(
        "Store", names, format_func=stores.title, **control("store", names[0], names)
    )
    ours = page_settings()
    ours.params[f"{ours.prefix}store"] = name  # another one may come before it
    store = stores.opened(name)
    others = [one for one in stores.own() if one != name]
    kinds = _offered(store, others)
    tied = control("shows", "", ["", *kinds])
    if not st.session_state[tied["key"]]:
        st.session_state[tied["key"]] = kinds[0]  # of this store, and not the visitor's choice
    kind: str = st.selectbox("Shows", kinds, format_func=LAYOUTS.__getitem__, **tied)
    if len(store.store.classes) < max(CLASSES.values()):
        st.caption(
            "Figures that compare classes are of photos of several. Put the photos of each class "
            "into a folder of its own, or give cbam-viz batch --labels."
        )
    opened = [store]
    if kind == "stores":
        other = st.selectbox("Compare with", others, **control("other", others[0], others))
        opened.append(stores.opened(other))
    return _settings(kind, store), tuple(opened)


def _offered(store: Opened, others: Sequence[str]) -> list[str]:
    """What can be drawn of a store; curves of classes first, if its photos have classes."""
    has, weights = len(store.store.classes), bool(store.channel_layers)
    return [
        kind
        for kind in LAYOUTS
        if has >= CLASSES.get(kind, 0)
        and (weights or kind in OF_ALL_GATES)
        and (others or kind != "stores")
    ]


def _settings(kind: str, store: Opened) -> dict[str, Any]:
    layers = store.channel_layers
    if kind == "curves":
        return {
            "layout": "channels", "by": "class", "plot": "curves",
            "layers": _layers(store, layers, "the last of each stage"),
            "classes": _classes(store, "the four with most photos"),
            **_protocol(),
            "spread": st.toggle("Spread within each class", **control("spread", False)),
        }  # fmt: skip
    if kind == "classes":
        return {
            "layout": "channels", "by": "class", "layer": _layer(store, layers),
            "classes": _classes(store, "all"), **_cells(),
        }  # fmt: skip
    values: dict[str, Any] = {"layout": kind}
    if kind in ("variance", "stores"):
        every = list(dict.fromkeys(layer for layer, _ in store.store.gates()))
        values["layers"] = _layers(store, every, "all")
    elif kind == "distances":
        values |= {
            "layers": _layers(store, layers, "the last of each stage"),
            "classes": _classes(store, "all"),
            "order": "cluster" if _toggle("Clustered", "clustered") else "index",
        }
    elif kind == "against":
        values |= {"layers": _layers(store, layers, "the last of each stage"),
                   "top": _number("Channels", "special", SHOWN, 200)}  # fmt: skip
        st.caption("The photo is that of the sidebar.")
    else:
        values |= _photos(kind, store, layers)
    return values


def _protocol() -> dict[str, Any]:
    """The channels and photos of the SENet paper's figure, to be changed."""
    left, right = st.columns(2)
    with left:
        sample = _number("Channels", "sampled", 50, 4096)
    with right:
        per_class = _number("Photos of each class, 0 for all", "each", 50, 100_000, least=0)
    return {"sample": sample, "per_class": per_class or None}


def _cells() -> dict[str, Any]:
    order = st.selectbox(
        "Order", list(ORDERS), format_func=ORDERS.__getitem__,
        **control("cells_order", "cluster", list(ORDERS)),
    )  # fmt: skip
    count = _number("Most selective channels, 0 for all", "selective", 50, 4096, least=0)
    values: dict[str, Any] = {"order": order}
    if count:
        values |= {"top": count, "rank": "selective"}
    values["relative"] = st.toggle(
        "Differences from the mean of all classes", **control("relative", False)
    )
    if not values["relative"]:
        names = [str(name) for name in COLORMAPS]
        chosen = control("cells_map", names[0], names)
        values["colormap"] = st.selectbox("Colour map", names, **chosen)
    return values


def _photos(kind: str, store: Opened, layers: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"layer": _layer(store, layers)}
    if kind == "extremes":
        one = stores.summary(store, values["layer"], "channel")
        most, last = int(np.argmax(one.spread)), one.mean.size - 1
        values["channel"] = st.number_input(
            "Channel", 0, last, step=1, **control("store_channel", most, between=(0, last))
        )
    if kind == "nearest":
        text = st.text_input(
            "Photo", placeholder="its name or number in the store", **control("store_photo", "")
        )
        values["photo"] = text or None
    values["listed"] = _number("Photos in a list", f"listed_{kind}", LISTED[kind], 32)
    return values


def _layer(store: Opened, layers: Sequence[str]) -> str:
    if not layers:
        return ""
    name: str = st.selectbox(
        "Layer", layers, format_func=store.option, **control("store_layer", layers[-1], layers)
    )
    return name


def _layers(store: Opened, layers: Sequence[str], default: str) -> tuple[str, ...]:
    picked = st.multiselect(
        "Layers",
        layers,
        format_func=store.option,
        placeholder=default,
        **control("store_layers", [], layers),
    )
    return tuple(name for name in layers if name in picked)


def _classes(store: Opened, default: str) -> tuple[str, ...]:
    names = list(store.store.classes)
    picked = st.multiselect(
        "Classes", names, placeholder=default, format_func=plain, **control("of_classes", [], names)
    )
    return tuple(picked)


def _toggle(title: str, name: str) -> bool:
    return bool(st.toggle(title, **control(name, True)))


def _number(title: str, name: str, default: int, most: int, *, least: int = 1) -> int:
    number = st.number_input(
        title, least, most, step=1, **control(name, default, between=(least, most))
    )
    return int(number)
