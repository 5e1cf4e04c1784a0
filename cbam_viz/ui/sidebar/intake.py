"""How photos come in: chosen, dropped on the page, pasted, or taken with the camera.

All of them become `Incoming` files and are read in one place, by `read_photo_apart`, under the same
limits. Dropped and pasted files take the uploader's way as well: the browser hands them to it (see
`photo_strip.js`), so their bytes travel as uploads do and not inside a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cbam_viz._suffixes import PICTURES, SCANS, is_checkpoint_name
from cbam_viz.errors import CbamVizError
from cbam_viz.images import MAX_BYTES, MAX_MEGAPIXELS, Photo, read_photo_apart
from cbam_viz.images.reading import label_of, too_many_bytes
from cbam_viz.images.recognise import READABLE
from cbam_viz.render import fit_size, resize_photo
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.session.album import KEPT, KEPT_BYTES, Incoming, OwnPhoto, within_limits
from cbam_viz.ui.session.link import UPLOAD
from cbam_viz.ui.sidebar import input_panel

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator
    from streamlit.runtime.uploaded_file_manager import UploadedFile

TYPES = (*PICTURES, *SCANS)
"""Endings of files that are taken."""
OFFERED = ("image", "avif", "heic", "heif", *(ending.rpartition(".")[2] for ending in SCANS))
"""What the dialog for files offers; none but the first is a picture to every browser."""
UPLOADER = "photo_file"
CAMERA = "photo_camera"
THUMBNAIL = 160
"""Longer side in pixels; on the page it is shown at half of that, or less."""
MOST_REPORTS = 4 * KEPT
"""Files of which the browser may say that they were left out."""
NAMED = 3
"""File names that one sentence lists; of more it tells the number."""
AT_ONCE = f"{KEPT} photos and {KEPT_BYTES // 2**20} MB"

_SAID = {
    "link": "A link was dropped, and web addresses are not fetched. Save the picture and drop its "
    "file.",
    "nothing": "There is no picture in the clipboard. Copy one and paste again.",
    "denied": "The browser did not let the page read the clipboard. Press Ctrl+V (⌘V on a Mac) "
    "instead.",
}
"""What the browser reports that is about no file."""


def uploader_key() -> str:
    """Name of the uploader that is on the page now; the next files get a fresh one."""
    turn = session.memory().album.round
    return UPLOADER if turn == 0 else f"{UPLOADER}_{turn}"


def uploader() -> None:
    """Where files are chosen, or dropped."""
    key = uploader_key()
    st.file_uploader(
        "Your own photos",
        type=OFFERED,
        accept_multiple_files=True,
        key=key,
        on_change=_take_files,
        args=(key,),
        max_upload_size=MAX_BYTES // 2**20,
        help=f"Up to {MAX_BYTES // 2**20} MB and {MAX_MEGAPIXELS:g} megapixels each. The last "
        f"{AT_ONCE} stay in this session's memory, which nobody else sees, and are gone when you "
        "close the page.",
    )


def ask_for_camera() -> None:
    """Open the camera's window in the run that follows; until then nothing asks for permission."""
    session.memory().album.camera = True


def camera() -> None:
    """The camera's window, if it was asked for."""
    album = session.memory().album
    if album.camera:
        album.camera = False
        _camera_window()


@st.dialog("Take a photo")
def _camera_window() -> None:
    key = _camera_key()
    st.camera_input(
        "The camera's picture",
        key=key,
        on_change=_take_shot,
        args=(key,),
        label_visibility="collapsed",
    )
    if session.memory().album.incoming:
        st.rerun()


def _camera_key() -> str:
    return f"{CAMERA}_{session.memory().album.shots}"


def refuse(report: Any) -> None:
    """Note what the browser did not hand over, and why. What it says is checked like any input."""
    report = report if isinstance(report, dict) else {}
    files = report.get("files")
    found = [one for one in files if isinstance(one, dict)] if isinstance(files, list) else []
    album = session.memory().album
    others_came = bool(report.get("besides"))
    before = album.problems if others_came else ()
    album.problems = (*before, *sentences(found[:MOST_REPORTS]))[:MOST_REPORTS]
    if any(one.get("why") == "failed" for one in found) and not others_came:
        album.round += 1  # that uploader holds files that never arrived


def sentences(reports: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """A sentence for each file that was left out, and one for all that were too many."""
    surplus = [_name_in(one) for one in reports if one.get("why") == "surplus"]
    said = [sentence for one in reports if (sentence := _sentence(one))]
    if surplus:
        said.append(f"Not taken: {listed(surplus)}. At once there may be {AT_ONCE}.")
    return tuple(said)


def _sentence(report: dict[str, Any]) -> str:
    """Empty where nothing is to be said of this file alone."""
    name, why, size = _name_in(report), str(report.get("why")), report.get("size")
    if why == "size" and isinstance(size, int | float) and MAX_BYTES < size < 2**60:
        return str(too_many_bytes(name, size, MAX_BYTES))
    if why == "kind" and is_checkpoint_name(name):
        return f"{name} is not a photo. For a network, choose “Upload a checkpoint …”."
    if why == "kind":
        return f"{name} is not a picture that can be read. Use {READABLE}."
    if why == "failed":
        return f"{name} did not arrive. Try again."
    return _SAID.get(why, "")


def _name_in(report: dict[str, Any]) -> str:
    return label_of(str(report.get("name", "")), b"") or "The file"


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def read_incoming(waiting: DeltaGenerator) -> None:
    """Read what has arrived; one bad file among several loses none of the others.

    A file leaves the queue once it has been read: if another click ends this run halfway, the next
    one goes on with the rest.
    """
    album = session.memory().album
    while album.incoming:
        file = album.incoming[0]
        with waiting, st.spinner(f"Reading {words.plain(file.name)} …"):
            try:
                window = input_panel.window()
                _keep(file, read_photo_apart(file.content, name=file.name, window=window))
            except CbamVizError as error:
                album.problems = (*album.problems, str(error))
        album.incoming = tuple(one for one in album.incoming if one is not file)


def say_what_failed() -> None:
    """What could not be taken the last time, and what gave way.

    It stays until the next time: what the browser refused is told on its own, and may come in a run
    of its own.
    """
    album = session.memory().album
    problems = album.problems
    if problems:
        dash = "- " if len(problems) > 1 else ""
        text = "\n".join(f"{dash}{words.plain(one)}" for one in problems)
        st.error(text, icon=":material/broken_image:")
    if album.gone:
        text = f"No longer kept: {listed(album.gone)}. This page keeps the last {AT_ONCE}."
        st.info(words.plain(text), icon=":material/info:")


def _take_files(key: str) -> None:
    """Note that files came; the run that follows reads them.

    Streamlit calls this again if another click ends that run too early; each uploader counts once.
    """
    if key != uploader_key():
        return
    files = session.uploaded(key)
    album = session.memory().album
    album.round += 1
    _take(Incoming(file.name, file.getvalue()) for file in files)
    _free(files)
    album.arrived = tuple(file.name for file in files)


def _take_shot(key: str) -> None:
    """As with files, each camera counts once."""
    if key != _camera_key():
        return
    for shot in session.uploaded(key):
        album = session.memory().album
        album.shots += 1
        _take([Incoming(f"camera {album.shots}.jpg", shot.getvalue())])
        _free([shot])


def _take(files: Iterable[Incoming]) -> None:
    """Queue what is within the limits: the browser keeps to them, a stranger's program may not."""
    album = session.memory().album
    taken, surplus = list(album.incoming), []
    room = KEPT_BYTES - sum(len(one.content) for one in taken)
    for file in files:
        if len(taken) < KEPT and len(file.content) <= room:
            room -= len(file.content)
            taken.append(file)
        else:
            surplus.append({"name": file.name, "why": "surplus"})
    album.problems, album.gone = sentences(surplus), ()
    album.incoming, album.shown = tuple(taken), False


def _free(files: Sequence[UploadedFile]) -> None:
    """Drop Streamlit's own copies, as its chat input does."""
    context = get_script_run_ctx()
    manager = context.uploaded_file_mgr if context is not None else None
    if context is not None and isinstance(manager, MemoryUploadedFileManager):
        for file in files:
            manager.remove_file(session_id=context.session_id, file_id=file.file_id)


def _keep(file: Incoming, photo: Photo) -> None:
    """Add a photo to those of this session, and show the first of those that came together."""
    ours = session.memory()
    album = ours.album
    # The same file again is the same photo.
    same = (one for one in album.photos if (one.sha256, one.name) == (photo.sha256, photo.name))
    own = next(same, None)
    if own is None:
        album.brought += 1
        own = OwnPhoto(
            album.brought, photo.name, photo.sha256, file.content, thumbnail(photo), photo.notes
        )
        album.photos = (*album.photos, own)
    if not album.shown:
        album.shown = True
        session.choose(image=UPLOAD, own=own.number)
        ours.decoded.get_or_make((own.number, photo.window), lambda: photo)
    album.photos, gone = within_limits(album.photos, ours.settings.own)
    album.gone = (*album.gone, *(one.name for one in gone))


def thumbnail(photo: Photo) -> str:
    """A small picture as a data URL."""
    size = fit_size(photo.size, THUMBNAIL)
    return pictures.data_url(resize_photo(photo.shown, size), quality=80)
