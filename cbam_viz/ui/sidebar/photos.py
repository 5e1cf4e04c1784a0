"""The photo of this session: a sample, or one of the visitor's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from cbam_viz.images import Photo, Sample, read_photo, read_photo_apart, samples
from cbam_viz.ui import session, words
from cbam_viz.ui.session.album import OwnPhoto
from cbam_viz.ui.session.link import UPLOAD
from cbam_viz.ui.sidebar import input_panel, intake
from cbam_viz.ui.sidebar.intake import OFFERED, UPLOADER

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

__all__ = [
    "OFFERED",
    "UPLOADER",
    "choose",
    "credit",
    "current",
    "own_photo",
    "sample_photo",
    "sha256_of",
]

LIST = "set_image"


def choose(waiting: DeltaGenerator) -> None:
    """The sidebar's controls for the photo. `waiting` is where one reads that files are read."""
    listed = st.container()
    intake.uploader()  # before files are read: the next ones need a place to go to
    intake.read_incoming(waiting)
    _check()
    titles = words.distinct(choices())
    st.session_state[LIST] = choice()
    listed.selectbox(
        "Photo", list(titles), format_func=titles.__getitem__, key=LIST, on_change=_take_choice
    )
    photo = own_photo()
    if photo is not None:
        for text in photo.notes:
            st.caption(text)


def choices() -> dict[str, str]:
    """What can be shown, by the name that `take` understands: own photos, then samples."""
    titles = {_name(one): f"Your photo: {one.name}" for one in session.memory().album.photos}
    return titles | {sample.name: sample.title for sample in samples()}


def choice() -> str:
    """Which of the choices is shown."""
    photo = own_photo()
    return session.settings().image or "" if photo is None else _name(photo)


def take(name: object) -> None:
    """Show another of the choices; anything else, which a browser may send, changes nothing."""
    if not isinstance(name, str) or name not in choices():
        return
    album = session.memory().album
    album.problems = album.gone = ()
    picked = next((one for one in session.memory().album.photos if _name(one) == name), None)
    if picked is None:
        session.choose(image=name, own=None)
    else:
        session.choose(image=UPLOAD, own=picked.number)


def remove(name: object) -> None:
    """Forget one of the own photos, and everything that was made of it."""
    ours = session.memory()
    album = ours.album
    gone = next((one for one in album.photos if _name(one) == name), None)
    if gone is None:
        return
    shown = own_photo()
    album.photos = tuple(one for one in album.photos if one is not gone)
    ours.decoded.clear()
    ours.results.clear()
    if shown is gone:
        last = album.photos[-1].number if album.photos else None
        session.choose(image=None if last is None else UPLOAD, own=last)


def own_photo() -> OwnPhoto | None:
    """The visitor's own photo that is shown; None while a sample is."""
    chosen = session.settings()
    return session.memory().album.find(chosen.own) if chosen.image == UPLOAD else None


def current() -> Photo:
    """The chosen photo. Raises ImageError for a sample that is missing on disk."""
    return photo_of(choice())


def photo_of(name: str) -> Photo:
    """One of the choices. Raises ImageError for a sample that is missing on disk."""
    own = next((one for one in session.memory().album.photos if _name(one) == name), None)
    if own is not None:
        return _decoded(own)
    return sample_photo(next(sample for sample in samples() if sample.name == name))


def sha256_of(name: str) -> str:
    """What tells one of the choices from all other photos; an own one is not decoded for that."""
    own = next((one for one in session.memory().album.photos if _name(one) == name), None)
    return photo_of(name).sha256 if own is None else own.sha256


def credit() -> str:
    """Who made the photo that is shown; empty for the visitor's own."""
    for sample in samples():
        if sample.name == session.settings().image:
            return f"Photo: {sample.credit}, {sample.licence}"
    return ""


@st.cache_resource(max_entries=8, show_spinner=False)
def sample_photo(sample: Sample) -> Photo:
    """One of the samples, decoded once for all sessions."""
    return read_photo(sample.path, name=sample.path.name)


@st.cache_resource(max_entries=8, show_spinner=False)
def sample_thumbnail(sample: Sample) -> str:
    """A small picture of a sample, made once for all sessions."""
    return intake.thumbnail(sample_photo(sample))


def _decoded(photo: OwnPhoto) -> Photo:
    """An own photo's pixels, from memory or read again, through the window that is stated now."""
    window = input_panel.window()
    return session.memory().decoded.get_or_make(
        (photo.number, window),
        lambda: read_photo_apart(photo.content, name=photo.name, window=window),
    )


def _name(photo: OwnPhoto) -> str:
    return f"{UPLOAD} {photo.number}"


def _take_choice() -> None:
    take(st.session_state[LIST])


def _check() -> None:
    """Fall back to what exists where the setting names nothing that does."""
    chosen, album = session.settings(), session.memory().album
    if chosen.image == UPLOAD:
        if album.find(chosen.own) is not None:
            return
        if 0 < (chosen.own or 0) <= album.brought:
            session.note("That photo is no longer kept, so this is a sample.")
        else:
            session.note("A link does not carry uploaded photos, so this is a sample.")
    elif any(sample.name == chosen.image for sample in samples()):
        return
    elif chosen.image is not None:
        session.note("The link names a photo that is not among the samples.")
    session.change(image=samples()[0].name, own=None)
