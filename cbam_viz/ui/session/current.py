"""What one browser session remembers. Nothing here is shared with another session."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cbam_viz.ui.session.album import Album
from cbam_viz.ui.session.link import Settings, from_params, page_params, to_params

T = TypeVar("T")

MEMORY = "cbam_viz_memory"
SCENES, DETAILS, PICTURES = 12, 3, 160
"""How many results a session keeps: forwards, one layer's features (up to 20 MB each), pictures."""
DECODED = 2
"""Own photos that stay decoded; one of 64 megapixels takes 192 MB."""


class Recent(OrderedDict[Hashable, Any]):
    """The last few results, by key; the least recently used one goes first."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self._lock = threading.Lock()

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        # Quick clicks make runs of one session overlap. Making takes long and needs no lock.
        with self._lock:
            if key in self:
                self.move_to_end(key)
                found: T = self[key]
                return found
        made = make()
        with self._lock:
            self[key] = made
            while len(self) > self.limit:
                self.popitem(last=False)
        return made


@dataclass
class Upload:
    """A checkpoint that this session brought."""

    name: str
    sha256: str
    content: bytes


@dataclass
class Memory:
    """Everything a session knows. Settings are what the URL says; the rest is never in it."""

    settings: Settings = field(default_factory=Settings)
    link: Settings = field(default_factory=Settings)
    """What the link that opened the session asked for, until the visitor changes something."""
    notes: tuple[str, ...] = ()
    """What of the link could not be used, to be shown once."""
    linked: bool = False
    """True once the URL that opened the session has been read."""
    newcomer: bool = False
    """True until the first page is complete, unless a link opened it."""
    album: Album = field(default_factory=Album)
    """The photos that this session brought."""
    decoded: Recent = field(default_factory=lambda: Recent(DECODED))
    """The last of them that were shown, by number."""
    checkpoints: dict[str, Upload] = field(default_factory=dict)
    """Uploaded networks by what they are for: the page's, or the second one of a figure."""
    analyses: Recent = field(default_factory=lambda: Recent(SCENES))
    details: Recent = field(default_factory=lambda: Recent(DETAILS))
    pictures: Recent = field(default_factory=lambda: Recent(PICTURES))
    page_link: dict[str, str] | None = None
    """What a link says of its page's own controls, until that page has read it."""
    page_params: dict[str, str] = field(default_factory=dict)
    """What the page that is shown adds to the URL."""
    scene: Any = None
    """What the last run showed; `scene.current` gives it back with its type."""
    pages: dict[str, Any] = field(default_factory=dict)
    """Streamlit's pages by address, to switch to."""


def memory() -> Memory:
    """Give what this session remembers; made at its first run."""
    if MEMORY not in st.session_state:
        st.session_state[MEMORY] = Memory()
    found: Memory = st.session_state[MEMORY]
    return found


def settings() -> Settings:
    return memory().settings


def change(**values: Any) -> None:
    """Change settings; the URL follows at the end of the run."""
    ours = memory()
    ours.settings = replace(ours.settings, **values)


def choose(**values: Any) -> None:
    """Change settings because the visitor said so: what the link asked for no longer counts."""
    memory().link = Settings()
    change(**values)


def forget_linked_model() -> None:
    """The link's network was there; if it is missing later, that is not the link's fault."""
    ours = memory()
    ours.link = replace(ours.link, model=None)


def note(text: str) -> None:
    """Something of a link that could not be used, for the top of the page."""
    ours = memory()
    if text not in ours.notes:
        ours.notes = (*ours.notes, text)


def take_notes() -> tuple[str, ...]:
    """The notes that have not been shown yet."""
    ours = memory()
    taken, ours.notes = ours.notes, ()
    return taken


def read_url(colormaps: tuple[str, ...]) -> None:
    """Take the settings from the URL when a link was opened or the visitor went back or forward.

    At other runs the URL says nothing new: it is either what this session wrote, or, after two
    quick clicks, what it wrote before that and the browser has not replaced yet. Nor does an
    address without any parameter, which is what the browser passes through from page to page.
    """
    ours = memory()
    params = st.query_params.to_dict()
    if ours.linked and not (params and _went_back_or_forward()):
        return
    ours.linked = True
    ours.settings, ours.notes = from_params(params, colormaps=colormaps)
    ours.link = ours.settings
    ours.newcomer = not params
    ours.page_link = page_params(params)


def _went_back_or_forward() -> bool:
    context = get_script_run_ctx()
    return bool(getattr(context, "is_history_navigation", False))


def write_url() -> None:
    """Make the address bar a link to what is shown."""
    linked, scene = settings(), memory().scene
    if scene is not None and linked.layer not in scene.layers:
        # The pick waits for a network that has the layer; a link to it would only be a puzzle here.
        linked = replace(linked, layer=None)
    params = to_params(linked) | memory().page_params
    if st.query_params.to_dict() != params:
        st.query_params.from_dict(params)


def control(
    name: str,
    among: Collection[Any] | None = None,
    *,
    shown: Any = None,
    along: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Arguments that tie a widget to the setting `name`, in both directions.

    The setting is the truth: the widget is set from it before every run and writes to it when the
    visitor moves it, so that links, clicks in a picture and the widget can never disagree. `among`
    are the options of a list that changes: a browser that has not heard of the change yet sends the
    text of an option that is gone, and that says nothing. `shown` is what the widget shows where
    the visitor has not chosen: it does not become their choice. `along` are settings that a choice
    brings with it.
    """
    key = f"set_{name}"
    chosen = getattr(settings(), name)
    st.session_state[key] = chosen if shown is None else shown
    return {"key": key, "on_change": _take, "args": (name, key, among, along or {})}


RESETS = {
    "layer": {"channel": None},
    "model": {"channel": None, "arch": None},
    "model2": {"layer2": None},
}
"""Settings that mean nothing any more once another one has changed."""


def _take(name: str, key: str, among: Collection[Any] | None, along: Mapping[str, Any]) -> None:
    value = st.session_state[key]
    if among is not None and value not in among:
        return
    choose(**{name: value}, **RESETS.get(name, {}), **along)
