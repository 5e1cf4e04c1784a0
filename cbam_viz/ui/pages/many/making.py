"""Making a store of a folder of photos, with progress and a button to stop."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import streamlit as st

from cbam_viz._places import stores_folder
from cbam_viz._text import counted
from cbam_viz.batch.machine import cores
from cbam_viz.store.names import safe_name
from cbam_viz.ui import session
from cbam_viz.ui.pages.many import job
from cbam_viz.ui.parts import stores
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.words import plain

LOOK = 2.0
"""Seconds between two looks at a run."""


def is_busy() -> bool:
    """Whether a store is being made."""
    running = job.current()
    return running is not None and running.running


def draw(scene: Scene) -> None:
    """What can be made, or how far the run is."""
    running = job.current()
    if running is not None and running.running:
        _watch()
        return
    if running is not None:
        good, text = job.outcome(running)
        (st.success if good else st.warning)(plain(text))
    folders = stores.folders_of_photos()
    if not folders:
        st.caption(plain(f"To make one here, put a folder of photos into {stores_folder()}/photos; "
                         "its own folders are the classes."))  # fmt: skip
        return
    folder = st.selectbox(
        "Folder of photos", folders, **session.control("folder", folders[0], folders)
    )
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
    if there.total is not None and there.done >= there.total:
        st.caption(plain(f"The store {place.name} holds this folder in this network and view."))
        return
    label = "Go on" if there.done else "Make the store"
    st.button(
        label,
        icon=":material/play_arrow:",
        key="many_make",
        on_click=job.start,
        args=(place, [*command, "--workers", str(max(1, cores() - 1))]),
    )
    st.caption(
        f"{plain(place.name)}, with the network and view of the sidebar. The same on the command "
        "line:"
    )
    shown = [Path(one).name if one == str(scene.request.path) else one for one in command]
    st.code(shlex.join(["cbam-viz", "batch", *shown]), language=None, wrap_lines=True)


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
