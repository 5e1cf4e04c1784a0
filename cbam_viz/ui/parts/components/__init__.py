"""Parts that Streamlit does not have: drawn in the browser, without a build step."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

__all__ = ["bars", "gallery", "ranking", "viewer"]


def viewer(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """The photo with a map over it, blended in the browser; state `opacity` after a drag."""
    return _component("viewer")(data=data, key=key, **callbacks)


def gallery(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """All layers as cards; trigger `open` with a layer's name."""
    return _component("gallery")(data=data, key=key, **callbacks)


def bars(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """Channel weights; trigger `pick` with a channel, or -1 for none."""
    return _component("bars")(data=data, key=key, **callbacks)


def ranking(data: dict[str, Any], *, key: str) -> None:
    """Classes and probabilities."""
    _component("ranking")(data=data, key=key)


@cache
def _component(name: str) -> Any:
    folder = files(__package__)
    html, css, js = (
        folder.joinpath(f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    return st.components.v2.component(f"cbam_viz_{name}", html=html, css=css, js=js)
