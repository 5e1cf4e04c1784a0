"""What one browser session remembers. Nothing here is shared with another session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cbam_viz.ui.session.album import Album
from cbam_viz.ui.session.link import Settings, from_params, no_choice, to_params
from cbam_viz.ui.session.page_settings import PageSettings
from cbam_viz.ui.session.results import Recent, Results

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

T = TypeVar("T")

MEMORY = "cbam_viz_memory"
DECODED = 2
"""Own photos that stay decoded; one of 64 megapixels takes 192 MB."""


@dataclass(frozen=True)
class Upload:
    """A checkpoint that this session brought."""

    name: str
    sha256: str
    content: bytes = field(repr=False)


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
    results: Results = field(default_factory=Results)
    """What was made of photos and networks."""
    page: str = ""
    """Address of the page that is shown."""
    page_settings: dict[str, PageSettings] = field(default_factory=dict)
    """The settings that belong to one page alone, by its address."""
    kept: dict[Callable[[], Any], Any] = field(default_factory=dict)
    """What pages keep besides, by what makes it; see `keep`."""
    scene: Any = None
    """What the last run showed; a page gets it as its argument."""
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


def page_settings() -> PageSettings:
    """The settings that belong to the page that is shown alone."""
    ours = memory()
    return ours.page_settings[ours.page]


def keep(make: Callable[[], T]) -> T:
    """What a page keeps of this session besides its settings: `make()`, made at the first call.

    `make` is a dataclass whose fields all have defaults, as a rule.
    """
    kept = memory().kept
    if make not in kept:
        kept[make] = make()
    found: T = kept[make]
    return found


def uploaded(key: str) -> list[UploadedFile]:
    """The files that an uploader holds, of one file or of several."""
    held = st.session_state[key]
    return held if isinstance(held, list) else [] if held is None else [held]


def open_page(address: str, prefix: str) -> None:
    """Begin a run that shows a page, whose own settings have names in a link with this prefix.

    Settings are taken from the URL when a link was opened or the visitor went back or forward. At
    other runs the URL says nothing new: it is either what this session wrote, or, after two quick
    clicks, what it wrote before that and the browser has not replaced yet. Nor does an address
    without any parameter, which is what the browser passes through from page to page.
    """
    ours = memory()
    ours.page = address
    of_page = ours.page_settings.setdefault(address, PageSettings(prefix))
    of_page.params = {}
    params = st.query_params.to_dict()
    if ours.linked and not (params and _went_back_or_forward()):
        return
    ours.linked = True
    ours.settings, ours.notes = from_params(params)
    ours.link = ours.settings
    ours.newcomer = not params
    of_page.open_link(params)


def _went_back_or_forward() -> bool:
    context = get_script_run_ctx()
    return bool(getattr(context, "is_history_navigation", False))


def write_url() -> None:
    """Make the address bar a link to what is shown; the shell does so after every run."""
    linked, scene = settings(), memory().scene
    if scene is not None and linked.layer not in scene.layers:
        # The pick waits for a network that has the layer; a link to it would only be a puzzle here.
        linked = replace(linked, layer=None)
    params = to_params(linked) | page_settings().params
    if st.query_params.to_dict() != params:
        st.query_params.from_dict(params)


SHARED = object()
"""Stands for the default of a setting that all pages share: it is in `Settings`."""


def control(
    name: str,
    default: Any = SHARED,
    among: Collection[Any] | None = None,
    between: tuple[float, float] | None = None,
    *,
    shown: Any = None,
    along: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Arguments that tie a widget to the setting `name`, in both directions, and it to the link.

    Without a default, the setting is the one of `Settings` that has that name. With one, it belongs
    to the page that is shown and is declared by this very call: it is of the default's type.

    The setting is the truth: the widget is set from it before every run and writes to it when the
    visitor moves it, so that links, clicks in a picture and the widget can never disagree. `among`
    are the options of a list that changes: a browser that has not heard of the change yet sends the
    text of an option that is gone, and that says nothing. `between` are the ends of a number, which
    a link may not keep to. `shown` is what the widget shows where the visitor has not chosen: it
    does not become their choice. `along` are shared settings that a choice brings with it.
    """
    put: Callable[[Any], None]
    if default is SHARED:
        key, value = f"set_{name}", getattr(settings(), name)
        put = partial(_put_shared, name)
    else:
        key, ours = f"{memory().page}_{name}", page_settings()
        text = ours.link.get(name, "")
        value, usable = ours.read(name, default, among, between)
        put = partial(ours.values.__setitem__, name)
        if not usable:
            note(no_choice(ours.prefix + name, text, value))
    st.session_state[key] = value if shown is None else shown
    return {"key": key, "on_change": _take, "args": (key, put, among, along or {})}


RESETS = {
    "layer": {"channel": None},
    "model": {"channel": None, "arch": None, "class2": None, "box2": None},
    "model2": {"layer2": None, "class2": None, "box2": None},
    "image2": {"box2": None},
}
"""Settings that mean nothing any more once another one has changed."""


def _take(
    key: str,
    put: Callable[[Any], None],
    among: Collection[Any] | None,
    along: Mapping[str, Any],
) -> None:
    value = st.session_state[key]
    if among is None or isinstance(value, list) or value in among:
        put(value)
        if along:
            choose(**along)


def _put_shared(name: str, value: Any) -> None:
    choose(**{name: value}, **RESETS.get(name, {}))
