"""The photo of this session: a sample, or the visitor's own."""

from __future__ import annotations

import streamlit as st

from cbam_viz.errors import CbamVizError
from cbam_viz.images import (
    MAX_BYTES,
    MAX_MEGAPIXELS,
    Photo,
    Sample,
    read_photo,
    read_photo_apart,
    samples,
)
from cbam_viz.ui import session, words
from cbam_viz.ui.session import Upload
from cbam_viz.ui.session.link import UPLOAD

TYPES = (
    "jpg",
    "jpeg",
    "png",
    "webp",
    "bmp",
    "tif",
    "tiff",
    "gif",
    "avif",
    "heic",
    "heif",
    "npy",
    "dcm",
    "nii",
    "gz",
)
UPLOADER = "photo_file"


def choose() -> None:
    """The sidebar's controls for the image."""
    _read_upload()
    own = session.memory().photo
    titles = {sample.name: sample.title for sample in samples()}
    if own is not None:
        titles[UPLOAD] = f"Your photo: {own.name}"
    _check(titles)
    st.selectbox(
        "Image",
        list(titles),
        format_func=titles.__getitem__,
        **session.control("image", list(titles)),
    )
    st.file_uploader(
        "Your own photo",
        type=TYPES,
        key=UPLOADER,
        on_change=_take_upload,
        max_upload_size=MAX_BYTES // 2**20,
        help=f"Up to {MAX_BYTES // 2**20} MB and {MAX_MEGAPIXELS:g} megapixels. The photo stays "
        "in this session's memory and is gone when you close the page.",
    )
    _say_what_failed()


def current() -> Photo:
    """The chosen photo. Raises ImageError for a sample that is missing on disk."""
    chosen = session.settings().image
    own = session.memory().photo
    if chosen == UPLOAD and own is not None:
        photo: Photo = own.content
        return photo
    return sample_photo(next(sample for sample in samples() if sample.name == chosen))


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


def _check(titles: dict[str, str]) -> None:
    """Fall back to the first sample where the setting names nothing that exists."""
    chosen = session.settings().image
    if chosen in titles:
        return
    if chosen == UPLOAD:
        session.note("A link does not carry uploaded photos, so this is a sample.")
    elif chosen is not None:
        session.note("The link names an image that is not among the samples.")
    session.change(image=next(iter(titles)))


def _take_upload() -> None:
    """Note that a file came or went; the run that follows reads it."""
    ours = session.memory()
    ours.photo_error = ""
    ours.new_photo = st.session_state[UPLOADER]
    if ours.new_photo is None:
        ours.photo = None
        if ours.settings.image == UPLOAD:
            session.change(image=None)


def _read_upload() -> None:
    """Read a new file, once; a bad one leaves the photo as it was."""
    ours = session.memory()
    file, ours.new_photo = ours.new_photo, None
    if file is None:
        return
    try:
        with st.spinner("Reading the photo …"):
            photo = read_photo_apart(file.getvalue(), name=file.name)
    except CbamVizError as error:
        ours.photo_error = str(error)
        return
    ours.photo = Upload(photo.name, photo.sha256, photo)
    session.change(image=UPLOAD)


def _say_what_failed() -> None:
    ours = session.memory()
    if ours.photo_error:
        st.error(words.plain(ours.photo_error), icon=":material/broken_image:")
    elif ours.photo is not None and ours.settings.image == UPLOAD:
        for text in ours.photo.content.notes:
            st.caption(text)
