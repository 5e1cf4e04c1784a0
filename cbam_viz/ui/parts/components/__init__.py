"""Parts that Streamlit does not have: drawn in the browser, without a build step."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

__all__ = ["bars", "gallery", "photo_strip", "ranking", "viewer"]


def viewer(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """One or two photos with a map over each, blended in the browser; state `opacity` after a drag.

    `data["second"]` is another picture like `data` itself, or None.
    """
    scripts = ("viewer", "viewer_found", "viewer_hands", "viewer_numbers")
    return _component("viewer", scripts)(data=data, key=key, **callbacks)


def gallery(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """All layers as cards; trigger `open` with a layer's name."""
    return _component("gallery")(data=data, key=key, **callbacks)


def bars(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """Channel weights and their histogram; trigger `pick` with a channel, or -1 for none."""
    return _component("bars", ("bars", "bars_spread"))(data=data, key=key, **callbacks)


def ranking(data: dict[str, Any], *, key: str) -> None:
    """Classes and probabilities."""
    _component("ranking")(data=data, key=key)


def photo_strip(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """Thumbnails; triggers `pick` and `remove` with a photo's id, `camera`, and `refused`."""
    return _component("photo_strip")(data=data, key=key, **callbacks)


@cache
def _component(name: str, scripts: tuple[str, ...] = ()) -> Any:
    """A part from its files; `scripts` if its code is more than one file, read as one."""
    folder = files(__package__)
    html, css = (folder.joinpath(f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css"))
    js = "\n".join(folder.joinpath(f"{one}.js").read_text("utf-8") for one in scripts or (name,))
    return st.components.v2.component(f"cbam_viz_{name}", html=html, css=css, js=js)
