"""The photos to switch between, above every page, and the ways in which more come in."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cbam_viz.images import MAX_BYTES, samples
from cbam_viz.ui import session
from cbam_viz.ui.parts import components
from cbam_viz.ui.session.album import KEPT, KEPT_BYTES
from cbam_viz.ui.sidebar import intake, photos

STRIP = "photo_strip"


def draw() -> None:
    """Thumbnails of own photos and samples; the whole page takes what is dropped or pasted."""
    album = session.memory().album
    titles = photos.choices()
    pictures = [one.thumbnail for one in album.photos]
    pictures += [photos.sample_thumbnail(sample) for sample in samples()]
    names = [one.name for one in album.photos] + [""] * len(samples())
    components.photo_strip(
        {
            "photos": [
                {"id": key, "title": title, "name": name, "picture": picture}
                for (key, title), name, picture in zip(titles.items(), names, pictures, strict=True)
            ],
            "current": photos.choice(),
            "uploader": intake.uploader_key(),
            "arrived": list(album.arrived),
            "types": list(intake.TYPES),
            "limits": {"bytes": MAX_BYTES, "count": KEPT, "together": KEPT_BYTES},
        },
        key=STRIP,
        on_pick_change=_pick,
        on_remove_change=_remove,
        on_camera_change=intake.ask_for_camera,
        on_refused_change=_refuse,
    )
    intake.say_what_failed()
    intake.camera()


def _pick() -> None:
    photos.take(_sent("pick"))


def _remove() -> None:
    photos.remove(_sent("remove"))


def _refuse() -> None:
    intake.refuse(_sent("refused"))


def _sent(name: str) -> Any:
    """What the browser sent with an event; never to be trusted."""
    state: Any = st.session_state[STRIP]
    return state.get(name)
