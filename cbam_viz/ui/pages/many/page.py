"""Page Many photos: what the gates of a store's photos say together."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from cbam_viz._places import SAMPLE, stores_folder
from cbam_viz._text import counted
from cbam_viz.batch.record import FAILED
from cbam_viz.ui import session
from cbam_viz.ui.pages.many import beside, classes, layers, making, single, this
from cbam_viz.ui.parts import stores
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.words import plain

CROPS = f"{SAMPLE}crops"
OF_STORE: dict[str, tuple[str, Callable[[stores.Opened], None]]] = {
    "layers": ("Layers", layers.draw),
    "curves": ("Curves", classes.curves),
    "stores": ("Two stores", beside.draw),
}
OF_LAYER: dict[str, tuple[str, Callable[[stores.Opened, str], None]]] = {
    "classes": ("Classes", classes.draw),
    "channel": ("Channel", single.channel),
    "photo": ("Photo", single.photo),
    "unusual": ("Unusual photos", single.unusual),
}
THIS = "this"
VIEWS = ("layers", "classes", "curves", "channel", "photo", "unusual", THIS, "stores")
TITLES = {key: title for key, (title, _) in (*OF_STORE.items(), *OF_LAYER.items())}
TITLES[THIS] = "This photo"


def page(scene: Scene) -> None:
    """Choose a store, and a view of it; only that one is computed."""
    names = stores.names()
    if not names:  # somebody has taken away the store that comes along
        _say_how()
        making.draw(scene)
        return
    if all(name.startswith(SAMPLE) for name in names):
        _say_how()
    name = _choose(names)
    with st.expander("Make a store", icon=":material/add:", expanded=making.has_news()):
        making.draw(scene)
    store = stores.opened(name)
    _describe(store)
    view = st.segmented_control(
        "View",
        VIEWS,
        format_func=TITLES.__getitem__,
        required=True,
        label_visibility="collapsed",
        **session.control("view", VIEWS[0], VIEWS),
    )
    if view in OF_STORE:
        OF_STORE[view][1](store)
        return
    with_weights = store.channel_layers
    if not with_weights:
        st.info("This view is about channel weights, and the network of this store has none.")
        return
    layer = st.selectbox(
        "Layer",
        with_weights,
        format_func=store.option,
        **session.control("layer", with_weights[-1], with_weights),
    )
    if view == THIS:
        this.draw(scene, store, layer)
    else:
        OF_LAYER[view][1](store, layer)


def _say_how() -> None:
    st.markdown(
        "A **store** holds the gates of many photos. It answers what one photo cannot: what a "
        "channel is for, whether a photo is unusual, whether a gate depends on the photo at "
        "all. Make one from your own photos, with this command or below."
    )
    command = f"cbam-viz batch photos/ --out {stores_folder() / 'photos-1'}"
    st.code(command, language=None, wrap_lines=True)


def _choose(names: list[str]) -> str:
    """The store, which is in the link also where it is the first: another may come before it."""
    own = session.page_settings()
    before = own.values.get("store")
    name: str = st.selectbox(
        "Store", names, format_func=stores.title, **session.control("store", names[0], names)
    )
    stores.say_if_gone(before, name, names)
    own.params[f"{own.prefix}store"] = name
    return name


def _describe(store: stores.Opened) -> None:
    record = store.store.record
    count, kinds = store.store.photos.num_rows, len(store.store.classes)
    of = f" of {counted(kinds, 'class', 'classes')}" if kinds else ", without classes,"
    text = f"{counted(count, 'photo')}{of} in {record.document['model']}."
    if store.name == CROPS:
        text = (
            f"An example: {count} crops of the four sample photos in {record.document['model']}. "
            "Its classes are the four photos, so it shows what the views say, not what the network "
            "is like."
        )
    unread = store.store.unread
    if unread:
        text += (
            f" {counted(unread, 'photo')} more could not be read or shown; {FAILED} of the store "
            "says why."
        )
    left = record.shards - len(store.store.files)
    if left > 0:
        are = "is" if left == 1 else "are"
        text += (
            f" The store is not complete: {left} of {record.shards} parts {are} still missing, and "
            "all numbers are of the others."
        )
    st.caption(plain(text))
