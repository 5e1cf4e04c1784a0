"""Making a store of a folder of photos, with progress and a button to stop."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cbam_viz._places import stores_folder
from cbam_viz._text import counted
from cbam_viz.batch.machine import cores
from cbam_viz.batch.record import read_record
from cbam_viz.dataset.against import differing
from cbam_viz.dataset.reading import Store
from cbam_viz.store.names import safe_name
from cbam_viz.ui import session
from cbam_viz.ui.pages.many import job
from cbam_viz.ui.parts import stores
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.words import plain

LOOK = 2.0
"""Seconds between two looks at a run."""


@dataclass
class _Seen:
    """Which run this session saw going on."""

    began: float | None = None


def has_news() -> bool:
    """Whether a store is being made, or this session saw the last one being made: its end is told.

    What it came to, a failure too, would else be in a box that closes as the run ends.
    """
    last = job.current()
    if last is None:
        return False
    seen = session.keep(_Seen)
    if last.running:
        seen.began = last.began
    return seen.began == last.began


def draw(scene: Scene) -> None:
    """What can be made, or how far the run is."""
    running = job.current()
    if running is not None and running.running:
        _watch()
        return
    if running is not None:
        good, text = job.outcome(running)
        (st.success if good else st.warning)(plain(text))
        if good and session.page_settings().values.get("store") != running.store.name:
            st.button("Show this store", key="many_show", on_click=_show, args=(running.store,))
    folders = stores.folders_of_photos()
    if not folders:
        st.caption(plain(f"To make one here, put a folder of photos into {stores_folder()}/photos; "
                         "its own folders are the classes."))  # fmt: skip
        return
    last = "" if running is None else Path(running.source).name
    first = last if last in folders else folders[0]
    folder = st.selectbox("Folder of photos", folders, **session.control("folder", first, folders))
    arguments = _network(scene)
    if arguments is None:
        st.info(
            "A store is made here with a network of the folder checkpoints/, with the input that "
            "its file states. "
            "Choose one in the sidebar, or make the store with cbam-viz batch, which takes any."
        )
        return
    place = _store(scene, folder)
    command = [str(stores_folder() / stores.PHOTOS / folder), "--out", str(place), *arguments]
    there = job.progress(place)
    if there.complete:
        st.caption(plain(_told_of(scene, place)))
        return
    label = "Go on" if there.done else "Make the store"
    st.button(
        label,
        icon=":material/play_arrow:",
        key="many_make",
        on_click=_start,
        args=(place, [*command, "--workers", str(max(1, cores() - 1))]),
    )
    st.caption(
        f"{plain(place.name)}, with the network and view of the sidebar. The same on the command "
        "line:"
    )
    shown = [Path(one).name if one == str(scene.request.path) else one for one in command]
    st.code(shlex.join(["cbam-viz", "batch", *shown]), language=None, wrap_lines=True)


def _start(store: Path, arguments: list[str]) -> None:
    job.start(store, arguments)
    started = job.current()
    session.keep(_Seen).began = None if started is None else started.began


def _show(store: Path) -> None:
    session.page_settings().values["store"] = store.name


def _network(scene: Scene) -> list[str] | None:
    """The options for the network that is shown; None for one that no file of the folder is."""
    request = scene.request
    asked = request.input is not None or request.classes is not None
    if request.path is None or asked or request.insist:
        return None
    options = ["--checkpoint", str(request.path), "--view", scene.view]
    if request.architecture is not None:
        options += ["--architecture", request.architecture]
    return options


def _store(scene: Scene, folder: str) -> Path:
    """One for each folder, network and view, so that they can stand side by side."""
    assert scene.request.path is not None
    parts = [folder, scene.request.path.stem, *(["whole"] if scene.view == "whole" else [])]
    return stores_folder() / safe_name("-".join(parts))


@st.fragment(run_every=LOOK)
def _watch() -> None:
    """How far it is; drawn alone every two seconds, and the whole page when it has ended."""
    running = job.current()
    if running is None or not running.running:
        st.rerun()
    now = job.progress(running.store)
    name = plain(running.store.name)
    if not now.total:
        st.progress(0.0, f"{name}: opening the network and listing photos …")
    else:
        st.progress(min(1.0, now.done / now.total), f"{name}: {_told(running, now)}")
    st.button("Stop", icon=":material/stop:", key="many_stop", on_click=job.stop)
    st.caption("It goes on if you leave this page. If you stop it, what is done is kept.")


def _told_of(scene: Scene, place: Path) -> str:
    """What a store that is complete is of; a file or folder may have changed since."""
    record = read_record(place)
    reason = "" if record is None else differing(Store(place, record, ()), scene.loaded, scene.view)
    if reason:
        return (
            f"The store {place.name} was made with {reason}. To make one with what is chosen now, "
            "give its folder another name, or remove it."
        )
    return (
        f"The store {place.name} was made of this folder with this network and view. What was put "
        "into the folder or changed there since is not in it: give the photos a new folder, or "
        "remove the store to make it again."
    )


def _told(running: job.Job, now: job.Progress) -> str:
    assert now.total is not None
    text = f"{now.done:,} of {counted(now.total, 'photo')}"
    made, seconds = now.done - running.before, time.monotonic() - running.began
    if made <= 0:
        return text
    rate = made / seconds
    left = (now.total - now.done) / rate
    wait = f"{left:.0f} seconds" if left < 90 else f"{left / 60:.0f} minutes"
    return f"{text}, {rate:.1f} a second, {wait} left"
