"""The sidebar's controls for the network, and what is known about it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from cbam_viz._suffixes import CHECKPOINTS
from cbam_viz.errors import CheckpointError, ModelError
from cbam_viz.ui import session, words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.request import Request
from cbam_viz.ui.session import Upload
from cbam_viz.ui.session.link import UPLOAD
from cbam_viz.ui.sidebar import networks, own_networks
from cbam_viz.ui.sidebar.networks import FALLBACK, UNTRAINED

if TYPE_CHECKING:
    from cbam_viz.models import LoadedModel

UPLOADER = "checkpoint_file"
INFERRED = "Inferred from the file"
INSIST = "Show it even without trained attention"
KEY_INSIST = "insist"
HERE = f"In this app: “Architecture” and “{INSIST}” in the sidebar."


def choose() -> Request | None:
    """Let the visitor pick a network; None while its file is still missing."""
    entries = {entry.path.name: entry for entry in networks.entries()}
    own = own_networks.names()
    titles = {name: name for name in own} | networks.titles(entries.values())
    titles |= {UPLOAD: "Upload a checkpoint …", UNTRAINED: "Untrained network …"}
    _check(titles)
    st.selectbox(
        "Network",
        list(titles),
        format_func=titles.__getitem__,
        **session.control("model", among=list(titles)),
    )
    for sentence in networks.unreadable():
        st.caption(words.plain(sentence))
    chosen = session.settings().model
    if chosen in own:
        return Request(own=chosen)
    if chosen == UNTRAINED:
        return Request(architecture=_architecture(optional=False))
    if chosen == UPLOAD:
        return _upload()
    entry = entries[chosen or ""]
    if entry.architecture is not None:
        return networks.request_for(entry.path)
    return networks.request_for(entry.path, _architecture(optional=True), _insist())


def load(request: Request) -> LoadedModel:
    """The network. An error that advises Python's arguments says what they are called here."""
    try:
        return networks.load(request)
    except CheckpointError as error:
        advises = any(word in str(error) for word in ("architecture=", "allow_missing_attention"))
        if advises and KEY_INSIST in st.session_state:
            raise CheckpointError(f"{error} {HERE}") from error
        raise


def describe(request: Request, loaded: LoadedModel) -> None:
    """What was loaded, how, and what it costs."""
    if replace(request, input=None, classes=None) == Request(architecture=request.architecture):
        st.caption("Random weights: what a network attends to before training, which is noise.")
    st.caption(words.plain(loaded.fed(session.settings().view)))
    report = loaded.report
    if report is not None and (request.path is None or not loaded.metadata):
        if report.missing:
            st.warning(f"{len(report.missing)} tensors are random: what they show is noise.")
        with st.expander("Load report", icon=":material/fact_check:"):
            for line in report.text.splitlines():
                st.text(line)
    _about(request, loaded)


@st.fragment
def _about(request: Request, loaded: LoadedModel) -> None:
    """A fragment: opening it counts the cost beside the page, not before it."""
    panel = st.expander(
        "About this network", icon=":material/info:", key="about", on_change="rerun"
    )
    if panel.open:
        with boundary(), panel:
            _description(request, loaded)


def _description(request: Request, loaded: LoadedModel) -> None:
    for line in words.about(loaded.metadata):
        st.caption(words.plain(line))
    try:
        with st.spinner("Counting parameters and FLOPs …"):
            cost = networks.cost_of(request)
    except ModelError as error:
        st.caption(words.plain(str(error)))
        return
    st.table(words.cost_table(cost), border="horizontal", hide_index=True)
    st.caption(words.cost_note(cost))
    st.dataframe(
        {
            "CBAM layer": [layer.name for layer in cost.layers],
            "Parameters": [layer.parameters for layer in cost.layers],
            "FLOPs": [layer.flops for layer in cost.layers],
        },
        hide_index=True,
        height=240,
        alt="Parameters and FLOPs of each CBAM layer",
    )


def _check(titles: dict[str, str]) -> None:
    """Fall back to the default network where the setting names none that exists."""
    chosen = session.settings().model
    if chosen in titles and not (chosen == UPLOAD and not _uploading()):
        session.forget_linked_model()
        return
    if chosen == UPLOAD:
        session.note("A link does not carry uploaded checkpoints, so this is another network.")
    elif chosen is not None and chosen != session.memory().link.model:
        session.note(f"{chosen} is gone from the server, so this is another network.")
    elif chosen is not None:
        session.note("The link names a network that is not here.")
    session.change(model=next(iter(titles)))  # the default comes first


def _uploading() -> bool:
    """True if this session, not a link, chose to upload a checkpoint."""
    return "set_model" in st.session_state


def _architecture(*, optional: bool) -> str | None:
    names = networks.architectures()
    if session.settings().arch not in (None, *names):
        session.note("The link names an architecture that timm does not have.")
        session.change(arch=None)
    if not optional and session.settings().arch is None:
        session.change(arch=FALLBACK)
    options = [None, *names] if optional else list(names)
    chosen: str | None = st.selectbox(
        "Architecture",
        options,
        format_func=lambda name: INFERRED if name is None else name,
        **session.control("arch", among=options),
    )
    return chosen


def _insist() -> bool:
    return st.checkbox(
        INSIST,
        key=KEY_INSIST,
        help="If the file holds no weights for the attention layers, they stay random and what "
        "they show is noise.",
    )


def _upload() -> Request | None:
    upload_checkpoint(UPLOADER)
    architecture, insist = _architecture(optional=True), _insist()
    return networks.upload_request(UPLOADER, architecture, insist)


def upload_checkpoint(purpose: str) -> None:
    """A place to drop a checkpoint; `networks.upload_request(purpose)` then asks for it."""
    st.file_uploader(
        "Checkpoint file",
        type=(*CHECKPOINTS, ".json"),  # an index, for which there is a sentence
        key=purpose,
        on_change=_take_upload,
        args=(purpose,),
        help="safetensors, or PyTorch files that hold plain tensors. Nothing in the file is run.",
    )


def _take_upload(purpose: str) -> None:
    session.memory().checkpoints.pop(purpose, None)
    for file in session.uploaded(purpose):
        content = file.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        session.memory().checkpoints[purpose] = Upload(file.name, digest, content)
