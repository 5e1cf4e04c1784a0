"""The frame around every page: navigation, sidebar, the address bar, and the wait at the start.

A page is a function of the scene. That it is a fragment, that its errors become sentences, that its
settings come from the link and go into the address bar, is done here, for all pages alike.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from cbam_viz.errors import NoAttentionError
from cbam_viz.images import Photo
from cbam_viz.ui import session
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.entries import ENTRIES, Entry
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.glossary import WELCOME
from cbam_viz.ui.parts import masthead, photo_strip
from cbam_viz.ui.parts.layout import two_columns, use_style
from cbam_viz.ui.server import first_page_served
from cbam_viz.ui.session.link import VIEWS
from cbam_viz.ui.sidebar import networks, photos
from cbam_viz.ui.words import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from cbam_viz.ui.scene import Scene


SIDEBAR = 365
"""Width in pixels at first: the titles of the networks fit in."""


def main() -> None:
    """Draw the page that was asked for."""
    st.set_page_config(
        page_title="cbam-viz",
        page_icon=pictures.icon(),
        layout="wide",
        initial_sidebar_state=SIDEBAR,
    )
    use_style()
    with boundary():
        _run()


def _run() -> None:
    pages = _pages()
    chosen = st.navigation(list(pages.values()), position="top")
    entry = next(one for one in ENTRIES if pages[one.address] is chosen)
    session.open_page(entry.address, entry.prefix)
    masthead.draw(session.memory().pages.values())
    strip = st.container()
    with st.sidebar:
        st.title("cbam-viz")
        photos.choose(strip)
        network_slot = st.container()
    # Its place stays when it is gone: whatever moved up would be drawn anew, the picture too.
    welcome = st.container()
    if session.memory().newcomer:
        with welcome, st.container(key="welcome"):  # frame.js ends it with the first click
            st.markdown(WELCOME)
    with strip:
        photo_strip.draw()
    notes, waiting = st.container(), st.empty()
    scene = session.memory().scene = None
    with boundary():
        scene = session.memory().scene = _scene(photos.current(), network_slot, waiting)
        if scene is not None:
            chosen.run()
    for text in session.take_notes():
        notes.info(plain(text), icon=":material/info:")
    session.write_url()
    if scene is not None:
        session.memory().newcomer = False
        first_page_served.set()


def _pages() -> dict[str, st.Page]:
    """Streamlit's pages by address."""
    pages = {
        entry.address: st.Page(
            partial(_draw, entry),
            title=entry.title,
            icon=entry.icon,
            url_path=entry.address,
            default=entry.address == ENTRIES[0].address,
            help=entry.help,
        )
        for entry in ENTRIES
    }
    session.memory().pages = pages
    return pages


def _draw(entry: Entry) -> None:
    """Called by Streamlit, which has no arguments for it."""
    _page(entry, session.memory().scene)


@st.fragment
def _page(entry: Entry, scene: Scene) -> None:
    """The page. A fragment: what is changed on it reruns this and nothing else.

    Streamlit keeps the arguments of the last whole run, so the settings are taken anew.
    """
    session.page_settings().params = {}
    with boundary():
        importlib.import_module(entry.module).page(replace(scene, settings=session.settings()))
    session.write_url()


def _scene(photo: Photo, network_slot: DeltaGenerator, waiting: DeltaGenerator) -> Scene | None:
    """Load the network and run it once; None while the visitor has yet to choose a file."""
    cold = not networks.ready()
    if cold:
        _preview(waiting, photo)
    networks.import_torch()
    from cbam_viz.ui.parts import gateless
    from cbam_viz.ui.scene import make_scene
    from cbam_viz.ui.sidebar import input_panel, network_panel

    with network_slot:
        request = network_panel.choose()
        st.segmented_control(
            "What the network sees",
            list(VIEWS),
            format_func=VIEWS.__getitem__,
            required=True,
            help="The part in the middle of the photo that the network was evaluated on, or all of "
            "it, with a border if the network takes one shape alone.",
            **session.control("view"),
        )
        if request is not None:
            request = input_panel.asked(request)
    if request is None:
        waiting.info("Choose a checkpoint file in the sidebar.", icon=":material/upload_file:")
        return None
    try:
        with _busy(cold, waiting, "load", "Loading the network …"):
            loaded = network_panel.load(request)
        with network_slot:
            network_panel.describe(request, loaded)
        with _busy(cold, waiting, "run", "Running the network on the photo …"):
            scene = make_scene(photo, loaded, request, session.settings(), session.memory().results)
    except NoAttentionError as error:
        waiting.empty()
        gateless.draw(error, photo, loaded, request)
        return None
    finally:
        waiting.empty()
    _check_layer(scene)
    return scene


def _check_layer(scene: Scene) -> None:
    """Forget a link's layer that this network does not have, and say so.

    One that the visitor picked waits for a network that has it.
    """
    wanted = session.settings().layer
    if wanted is not None and wanted == session.memory().link.layer and wanted not in scene.layers:
        session.note("This network has no layer of the link's name, so this is another one.")
        session.change(layer=None)


def _preview(waiting: DeltaGenerator, photo: Photo) -> None:
    """The photo, at once, while PyTorch is still being imported."""
    with waiting.container():
        picture, beside = two_columns("preview")
        beside.skeleton(height=420)
        with picture:
            st.caption(
                ":material/hourglass_top: Loading PyTorch and the network, which takes some "
                "seconds once after the server's start …"
            )
            st.image(pictures.preview(photo), width="stretch", alt=photo.name)


@contextmanager
def _busy(cold: bool, waiting: DeltaGenerator, key: str, text: str) -> Iterator[None]:
    """A spinner, unless the preview already says what is going on."""
    if cold:
        yield
        return
    with waiting.container(key=f"busy_{key}"), st.spinner(text):
        yield
