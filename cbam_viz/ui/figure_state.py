"""What the page Figure remembers of a session: its controls, extra photos, results.

Widgets forget their values when another page is shown; these are kept here and put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from cbam_viz.images import Photo
from cbam_viz.ui.session import Recent

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
    photos: dict[str, Brought] = field(default_factory=dict)
    """By SHA-256, in the order of arrival."""
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


def value(name: str, default: Any) -> Any:
    """What the control `name` is set to."""
    return memory().values.get(name, default)


def control(name: str, default: Any, among: Sequence[Any] | None = None) -> dict[str, Any]:
    """Arguments that tie a widget to the remembered value `name`.

    With `among`, a value that is not among the options any more falls back to `default`; of a list,
    what is left is kept.
    """
    key = f"figure_{name}"
    current = value(name, default)
    if among is not None and isinstance(current, list):
        current = [one for one in current if one in among]
    elif among is not None and current not in among:
        current = default
    memory().values[name] = current
    st.session_state[key] = current
    return {"key": key, "on_change": _take, "args": (name, key)}


def _take(name: str, key: str) -> None:
    memory().values[name] = st.session_state[key]
