"""What the page Figure remembers of a session: its controls, extra photos, results.

Widgets forget their values when another page is shown; these are kept here and put back. What
differs from the default is in the URL, so that a link reopens the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from cbam_viz.images import Photo
from cbam_viz.ui import session
from cbam_viz.ui.session import Recent
from cbam_viz.ui.session.link import PAGE_PREFIX, read_like, written
from cbam_viz.ui.sidebar.networks import Request

MEMORY = "cbam_viz_figure"
ANALYSES, FILES = 64, 3
"""How many forwards and finished figures a session keeps."""


@dataclass
class Brought:
    """A photo for the figure, with its file's bytes for the bundle."""

    photo: Photo
    content: bytes


@dataclass
class Memory:
    """Kept from run to run and from page to page."""

    values: dict[str, Any] = field(default_factory=dict)
    link: dict[str, str] = field(default_factory=dict)
    """What a link says of controls that have not been drawn since."""
    photos: dict[str, Brought] = field(default_factory=dict)
    """By the beginning of their SHA-256, in the order of arrival."""
    second: Request | None = None
    """The network whose columns have been added to the picked ones."""
    errors: tuple[str, ...] = ()
    """Why files of the last upload could not be read."""
    analyses: Recent = field(default_factory=lambda: Recent(ANALYSES))
    files: Recent = field(default_factory=lambda: Recent(FILES))


def memory() -> Memory:
    """Give what this session remembers; made at its first run."""
    if MEMORY not in st.session_state:
        st.session_state[MEMORY] = Memory()
    found: Memory = st.session_state[MEMORY]
    return found


def begin() -> None:
    """Take the controls from the URL where a link opened the page, or back or forward did."""
    ours = session.memory()
    if ours.page_link is not None:
        memory().values.clear()
        memory().link, ours.page_link = ours.page_link, None
    ours.page_params = {}


def control(
    name: str,
    default: Any,
    among: Sequence[Any] | None = None,
    between: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Arguments that tie a widget to the remembered value `name`, and that value to the URL.

    With `among`, a value that is not among the options (any more) falls back to `default`; of a
    list, what is left is kept. With `between`, numbers are kept within.
    """
    ours = memory()
    linked = name in ours.link
    wanted = _from_link(name, default) if linked else ours.values.get(name, default)
    current = _allowed(wanted, default, among, between)
    if linked and current != wanted:
        _note(name)
    ours.values[name] = current
    if current != default:
        session.memory().page_params[PAGE_PREFIX + name] = written(current)
    key = f"figure_{name}"
    st.session_state[key] = current
    return {"key": key, "on_change": _take, "args": (name, key, among)}


def _from_link(name: str, default: Any) -> Any:
    text = memory().link.pop(name)
    try:
        return read_like(text, default)
    except ValueError:
        _note(name)
        return default


def _allowed(
    value: Any,
    default: Any,
    among: Sequence[Any] | None,
    between: tuple[float, float] | None,
) -> Any:
    if among is not None and isinstance(value, list):
        return [one for one in value if one in among]
    if among is not None and value not in among:
        return default
    if between is not None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(between[0] <= number <= between[1] for number in numbers):
            return default
    return value


def _note(name: str) -> None:
    what = name.partition("_")[0] if name[-1].isdigit() else name.replace("_", " ")
    session.note(f"Not all of the link's “{what}” could be used: it names what is not here.")


def _take(name: str, key: str, among: Sequence[Any] | None) -> None:
    value = st.session_state[key]
    if among is None or isinstance(value, list) or value in among:
        memory().values[name] = value
