"""Parts that Streamlit does not have: drawn in the browser, without a build step."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

__all__ = ["bars", "cell_map", "frames", "gallery", "painter", "photo_strip", "ranking", "viewer"]


def viewer(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """One or two photos with a map over each, blended in the browser; state `opacity` after a drag.

    `data["second"]` is another picture like `data` itself, or None.
    """
    scripts = ("viewer", "viewer_found", "viewer_hands", "viewer_numbers", "zooming", "on_photo")
    return _component("viewer", scripts, ("tools", "viewer"))(data=data, key=key, **callbacks)


def painter(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """A photo with the cells of a map to paint on; triggers `painted` with strokes, and `brush`.

    What is drawn on is the viewer's frame, so that it looks and is read out alike.
    """
    scripts = ("painter", "painter_hands", "on_photo")
    return _component("painter", scripts, ("tools", "viewer", "painter"))(
        data=data, key=key, **callbacks
    )


def gallery(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """All layers as cards; trigger `open` with a layer's name."""
    return _component("gallery")(data=data, key=key, **callbacks)


def bars(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """Channel weights and their histogram; trigger `pick` with a channel, or -1 for none."""
    return _component("bars", ("bars", "bars_spread"))(data=data, key=key, **callbacks)


def cell_map(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """A picture of a map; trigger `cell` with row and column, from 0, of the one that is chosen."""
    return _component("cell_map", ("cell_map", "on_photo"))(data=data, key=key, **callbacks)


def ranking(data: dict[str, Any], *, key: str) -> None:
    """Classes and probabilities."""
    _component("ranking")(data=data, key=key)


def photo_strip(data: dict[str, Any], *, key: str, **callbacks: Any) -> Any:
    """Thumbnails; triggers `pick` and `remove` with a photo's id, `camera`, and `refused`."""
    return _component("photo_strip")(data=data, key=key, **callbacks)


def frames(data: dict[str, Any], *, key: str) -> None:
    """Up to four photos with a map over each, and below each its difference.

    One cursor and one zoom are in all.
    """
    scripts = ("frames", "frames_zoom", "zooming", "on_photo")
    _component("frames", scripts, ("tools", "frames"))(data=data, key=key)


@cache
def _component(name: str, scripts: tuple[str, ...] = (), styles: tuple[str, ...] = ()) -> Any:
    """A part from its files; `scripts` and `styles` if these are several files, read as one."""
    folder = files(__package__)

    def read(names: tuple[str, ...], ending: str) -> str:
        return "\n".join(folder.joinpath(f"{one}.{ending}").read_text("utf-8") for one in names)

    return st.components.v2.component(
        f"cbam_viz_{name}",
        html=read((name,), "html"),
        css=read(styles or (name,), "css"),
        js=read(scripts or (name,), "js"),
    )
