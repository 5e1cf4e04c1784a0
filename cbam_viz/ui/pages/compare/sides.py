"""What stands beside each other: the sidebar's network and photo, and what is chosen here.

Analyses are kept, networks are not: four of them would stay in memory for every visitor. Where one
is needed again, as for its weights, the memory that all sessions share has it, or its file.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cbam_viz.analysis import Analysis
from cbam_viz.comparison import MOST, Side
from cbam_viz.models import LoadedModel
from cbam_viz.ui import session, words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.request import Request
from cbam_viz.ui.scene import Scene, make_scene_beside
from cbam_viz.ui.session import control
from cbam_viz.ui.session.link import UPLOAD
from cbam_viz.ui.sidebar import network_panel, networks, own_networks, photos

BY = {"networks": "Networks on this photo", "photos": "Photos in this network"}
MORE = MOST - 1
CHECKPOINT = "compare_checkpoint"
"""Under which the session keeps the checkpoint that is uploaded here."""
PAIRS = "pairs"
"""Setting: layers that the visitor paired by hand."""


@dataclass(frozen=True, eq=False)
class Look:
    """A side of the comparison, and which network it is of."""

    side: Side
    request: Request

    @property
    def analysis(self) -> Analysis:
        return self.side.analysis

    @property
    def key(self) -> Hashable:
        """What tells it from all others of the session."""
        return self.analysis.photo.sha256, self.request, self.analysis.geometry

    def network(self) -> LoadedModel:
        """The network, from the memory of the server or loaded again."""
        return networks.load_beside(self.request)[0]


def choose(scene: Scene) -> list[Look]:
    """Controls for what stands beside the sidebar's network and photo, which come first."""
    by: str = st.segmented_control(
        "Compare",
        list(BY),
        format_func=BY.__getitem__,
        required=True,
        **control("by", "networks", among=BY),
    )
    return _networks(scene) if by == "networks" else _photos(scene)


def _networks(scene: Scene) -> list[Look]:
    titles = _offered(scene)
    tied = control("with", _first(scene, titles), among=list(titles))
    picked: list[str] = st.multiselect(
        "Networks to compare with the sidebar's",
        list(titles),
        format_func=titles.__getitem__,
        max_selections=MORE,
        placeholder="Choose one to three",
        help="Networks without attention can be among them: they have a prediction, and maps from "
        "other methods.",
        **_forgetting_pairs(tied),
    )
    uploaded = None
    if UPLOAD in picked:
        network_panel.upload_checkpoint(CHECKPOINT)
        uploaded = networks.upload_request(CHECKPOINT)
        if uploaded is None:
            st.caption("A link does not carry uploaded checkpoints: each visitor brings the file.")
    looks = [Look(Side(scene.loaded.name, scene.analysis), scene.request)]
    for name in picked[:MORE]:
        with boundary():
            request = uploaded if name == UPLOAD else _request(name)
            if request is not None:
                title = titles[name] if name != UPLOAD else request.name or "the uploaded one"
                looks.append(_look(scene, title, photos.choice(), request))
    return _told_apart(looks)


def _photos(scene: Scene) -> list[Look]:
    shown, every = photos.choice(), photos.choices()
    titles = words.distinct({name: title for name, title in every.items() if name != shown})
    wanted = session.page_settings().link.get("photos", "").split(",")
    if any(name.startswith(UPLOAD) and name not in titles for name in wanted):
        session.note("A link does not carry uploaded photos: bring them again, and choose them.")
        kept = [name for name in wanted if not name.startswith(UPLOAD)]
        session.page_settings().link["photos"] = ",".join(kept)
    samples = [name for name in titles if not name.startswith(UPLOAD)]
    picked: list[str] = st.multiselect(
        "Photos to compare with the sidebar's",
        list(titles),
        format_func=titles.__getitem__,
        max_selections=MORE,
        placeholder="Choose one to three; your own are added in the sidebar",
        **control("photos", samples[:1], among=list(titles)),
    )
    looks = [Look(Side(every[shown], scene.analysis), scene.request)]
    for name in picked[:MORE]:
        with boundary():
            looks.append(_look(scene, titles[name], name, scene.request))
    return _told_apart(looks)


def _offered(scene: Scene) -> dict[str, str]:
    """Networks that can stand beside the sidebar's, by name."""
    file = scene.request.path.name if scene.request.path else None
    entries = [one for one in networks.entries_beside() if one.path.name != file]
    own = [name for name in own_networks.names() if name != scene.request.own]
    titles = {name: name for name in own} | networks.titles(entries)
    return titles | {UPLOAD: "Upload a checkpoint …"}


def _first(scene: Scene, titles: dict[str, str]) -> list[str]:
    """What stands there before anybody chose: another network with attention, else any."""
    plain = {one.path.name for one in networks.entries_beside() if networks.is_plain_twin(one)}
    names = [name for name in titles if name != UPLOAD]
    return sorted(names, key=lambda name: name in plain)[:1]


def _request(name: str) -> Request:
    if name in own_networks.names():
        return Request(own=name)
    return networks.request_for(networks.folder() / name)


def _look(scene: Scene, title: str, photo: str, request: Request) -> Look:
    """A photo in a network, from memory or by a forward. Raises CbamVizError."""

    def look() -> tuple[Analysis, Request]:
        network, meant = networks.load_beside(request)
        sample = not photo.startswith(UPLOAD)
        shown = photos.photo_of(photo)
        return make_scene_beside(scene, shown, network, meant, sample=sample).analysis, meant

    key = ("compared", photos.sha256_of(photo), request, scene.view)
    with st.container(key=f"busy_compare_{photo}_{title}"), st.spinner("Running the network …"):
        analysis, meant = scene.results.analyses.get_or_make(key, look)
    return Look(Side(title, analysis), meant)


def _told_apart(looks: list[Look]) -> list[Look]:
    titles = words.distinct({str(at): one.side.title for at, one in enumerate(looks)})
    return [
        Look(Side(title, one.analysis), one.request)
        for title, one in zip(titles.values(), looks, strict=True)
    ]


def _forgetting_pairs(tied: dict[str, Any]) -> dict[str, Any]:
    """The same widget; when other networks are chosen, layers that were paired are so no more."""
    take = tied["on_change"]

    def taken(*args: Any) -> None:
        take(*args)
        session.page_settings().values.pop(PAIRS, None)

    return {**tied, "on_change": taken}
