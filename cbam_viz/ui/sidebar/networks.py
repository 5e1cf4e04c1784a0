"""The network of this session: a demo checkpoint, the visitor's own, or one without training.

Networks are shared by all sessions and read-only; they are kept by what they were made from.
"""

from __future__ import annotations

import importlib
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from cbam_viz._places import checkpoints_folder
from cbam_viz.errors import CheckpointError
from cbam_viz.ui import session
from cbam_viz.ui.request import Request
from cbam_viz.ui.sidebar import own_networks

if TYPE_CHECKING:
    from cbam_viz.costs import ModelCost
    from cbam_viz.models import CheckpointEntry, LoadedModel

UNTRAINED = "untrained"
FALLBACK = "resnet18"
"""The architecture of the untrained network, until another is picked."""
KEPT = 4
"""Networks that stay in memory; the least recently used one goes first."""


_warm = threading.Event()


def ready() -> bool:
    """True once PyTorch is imported and a network has been loaded."""
    return _warm.is_set()


def import_torch() -> None:
    """Take the seconds of the first import here, where the page shows that it waits."""
    importlib.import_module("cbam_viz.analysis")


def folder() -> Path:
    """The only folder of the server whose checkpoints the app offers."""
    return checkpoints_folder()


def entries() -> tuple[CheckpointEntry, ...]:
    """The checkpoints on offer, the default first; empty where there is no such folder.

    A network without attention that is there to be compared with is left out: it has nothing to
    show here.
    """
    return tuple(entry for entry in entries_beside() if not is_plain_twin(entry))


def entries_beside() -> tuple[CheckpointEntry, ...]:
    """The checkpoints on offer beside another network: those without attention too."""
    from cbam_viz.models import list_checkpoints

    return list_checkpoints(folder()) if folder().is_dir() else ()


def titles(found: Iterable[CheckpointEntry]) -> dict[str, str]:
    """Titles by file name; two files of one title, which a list could not tell apart, get names."""
    entries = list(found)
    often = Counter(entry.title for entry in entries)
    return {
        entry.path.name: entry.title
        if often[entry.title] == 1
        else f"{entry.title} ({entry.path.name})"
        for entry in entries
    }


def is_plain_twin(entry: CheckpointEntry) -> bool:
    """True for a network without attention that is there to be compared with."""
    metadata = entry.metadata
    has_attention = metadata.get("attention") or metadata.get("inserted_cbam")
    return not has_attention and bool(metadata.get("compare_with"))


def default_request() -> Request | None:
    """The request for what the first visitor will see; None where the folder holds no network."""
    own = next(iter(own_networks.names()), None)
    if own is not None:
        return Request(own=own)
    entry = next(iter(entries()), None)
    return None if entry is None else request_for(entry.path)


@st.cache_resource(show_spinner=False)
def architectures() -> tuple[str, ...]:
    """All architectures that timm can build."""
    import timm

    return tuple(timm.list_models())


def unreadable() -> list[str]:
    """Why files of the checkpoints folder are not on offer, a sentence each."""
    from cbam_viz.models.metadata import survey

    return [f"Not on offer: {reason}" for reason in survey(folder())[1]]


def request_for(path: Path, architecture: str | None = None, insist: bool = False) -> Request:
    """The request for a file of the checkpoints folder. Raises CheckpointError if it is gone."""
    from cbam_viz.models.shards import files_of
    from cbam_viz.models.stated import CONFIG

    try:
        files = files_of(path)
        beside = files[0].with_name(CONFIG)
        if beside.is_file():  # it says what the network is fed and what its classes are called
            files.append(beside)
        stamp = max(file.stat().st_mtime_ns for file in files)
    except OSError as error:
        raise CheckpointError(f"{path.name} is gone. Choose another network.") from error
    return Request(
        path=path,
        stamp=stamp,
        architecture=architecture,
        insist=insist,
    )


def load(request: Request) -> LoadedModel:
    """The network that was asked for, from memory or loaded. Raises CheckpointError, ModelError."""
    loaded = _load(replace(request, input=None, classes=None))
    _warm.set()
    if request.classes is not None:
        loaded = replace(loaded, classes=request.classes)
    if request.input is None:
        return loaded
    from cbam_viz.images import changed

    return replace(loaded, spec=changed(loaded.spec, request.input), transform=None)


def load_beside(request: Request) -> tuple[LoadedModel, Request]:
    """A network that stands beside another one, without attention if its file holds none.

    Returns also the request that it was. Raises CheckpointError, ModelError.
    """
    from cbam_viz.errors import PlainCheckpointError
    from cbam_viz.models.load import PLAIN

    try:
        return load(request), request
    except PlainCheckpointError:
        plain = replace(request, attention=PLAIN)
        return load(plain), plain


def _load(request: Request) -> LoadedModel:
    if request.own is not None:
        return own_networks.network(request.own)
    if request.path is not None:
        return _load_file(request)
    if request.sha256 is not None:
        return _load_bytes(request, _uploaded(request.sha256))
    return _build(request.architecture or FALLBACK)


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _load_file(request: Request) -> LoadedModel:
    from cbam_viz.models import load_model

    return load_model(
        request.path,
        architecture=request.architecture,
        attention=request.attention,
        allow_missing_attention=request.insist,
        folder=folder(),
        apart=True,
    )


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _load_bytes(request: Request, _content: bytes | None) -> LoadedModel:
    from cbam_viz.models import load_model

    if _content is None:
        raise CheckpointError("The uploaded checkpoint is gone. Upload it again.")
    return load_model(
        _content,
        architecture=request.architecture,
        attention=request.attention,
        allow_missing_attention=request.insist,
        name=request.name,
        apart=True,
    )


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _build(architecture: str) -> LoadedModel:
    """A network with random weights, the same ones every time."""
    from cbam_viz.models import load_model

    return load_model(None, architecture=architecture, attention="cbam")


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def cost_of(request: Request) -> ModelCost:
    """Parameters and FLOPs, counted at the network's own input size."""
    from cbam_viz.costs import cost

    return cost(load(request).model)


def _uploaded(sha256: str) -> bytes | None:
    """The bytes of a checkpoint that this session brought; never those of another session."""
    for own in session.memory().checkpoints.values():
        if own.sha256 == sha256:
            return own.content
    return None


def upload_request(
    purpose: str, architecture: str | None = None, insist: bool = False
) -> Request | None:
    """The request for the checkpoint that this session uploaded; None if there is none."""
    own = session.memory().checkpoints.get(purpose)
    if own is None:
        return None
    return Request(
        sha256=own.sha256,
        name=own.name,
        architecture=architecture,
        insist=insist,
    )
