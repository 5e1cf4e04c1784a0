"""The photos and networks of the page Figure."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import nullcontext
from dataclasses import dataclass

import streamlit as st

from cbam_viz._places import SAMPLE
from cbam_viz.analysis import Analysis
from cbam_viz.errors import CbamVizError
from cbam_viz.figures import FigureSpec, StoreStudy, Study
from cbam_viz.figures.content.made import asked, made_columns
from cbam_viz.figures.content.storestudy import check_beside
from cbam_viz.figures.content.study import analyse_for, feature_layers
from cbam_viz.images import MAX_BYTES, Photo, read_photo_apart, sample_of, samples
from cbam_viz.models import CheckpointEntry, LoadedModel
from cbam_viz.ui import session, words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.figure.state import Brought, kept
from cbam_viz.ui.parts.stores import Opened
from cbam_viz.ui.request import Request
from cbam_viz.ui.scene import Scene, method_turns
from cbam_viz.ui.session import control
from cbam_viz.ui.session.link import UPLOAD
from cbam_viz.ui.sidebar import input_panel, network_panel, networks
from cbam_viz.ui.sidebar.photos import OFFERED, own_photo, sample_photo

MOST_ROWS = 16
CURRENT = "current"
UPLOADER = "figure_uploads"
SECOND = "figure_checkpoint"


@dataclass(frozen=True)
class Chosen:
    """A photo of the figure."""

    photo: Photo
    file: str
    """As a manifest names it."""
    content: bytes | None
    """The file, where it is the visitor's own."""


@dataclass(frozen=True)
class Network:
    """A network of the figure."""

    loaded: LoadedModel
    request: Request


@dataclass(frozen=True)
class Material:
    """What a figure is made of."""

    photos: list[Chosen]
    networks: list[Network]
    stores: tuple[Opened, ...] = ()


def choose_photos(scene: Scene, *, several: bool = True) -> list[Chosen]:
    """The sidebar's photo, samples, and more uploads: one row each, or only one of them."""
    brought = kept().photos
    titles = {CURRENT: f"{scene.photo.name} (sidebar)"}
    titles |= {sample.source: sample.title for sample in samples()}
    titles |= {key: one.photo.name for key, one in brought.items()}
    titles = words.distinct(titles)
    if several:
        picked = st.multiselect(
            "Photos",
            list(titles),
            format_func=titles.__getitem__,
            max_selections=MOST_ROWS,
            placeholder="Choose one or more",
            help="One row each, in this order.",
            **control("photos", [CURRENT], list(titles)),
        )
    else:
        picked = [
            st.selectbox(
                "Photo",
                list(titles),
                format_func=titles.__getitem__,
                **control("photo", CURRENT, list(titles)),
            )
        ]
    st.file_uploader(
        "More photos",
        type=OFFERED,
        accept_multiple_files=True,
        key=UPLOADER,
        on_change=_take_uploads,
        max_upload_size=MAX_BYTES // 2**20,
    )
    for text in kept().errors:
        st.error(words.plain(text), icon=":material/broken_image:")
    return [_photo(name, scene) for name in picked]


def choose_networks(scene: Scene) -> list[Network]:
    """The sidebar's network, and another one beside it if asked for."""
    entries = {entry.path.name: entry for entry in networks.entries_beside()}
    titles = {"": "none"} | networks.titles(entries.values()) | {UPLOAD: "Upload a checkpoint …"}
    name = st.selectbox(
        "Second network",
        list(titles),
        format_func=titles.__getitem__,
        help="One to compare with: its columns are added to the figure's. It may be one without "
        "attention, of which there is the prediction.",
        **control("second", "", list(titles)),
    )
    chosen = [current(scene)]
    with boundary(), st.spinner("Loading the second network …"):
        request = _second_request(name, entries)
        if request is not None:
            chosen.append(Network(*networks.load_beside(request)))
    return chosen


def current(scene: Scene) -> Network:
    """The sidebar's network."""
    return Network(scene.loaded, scene.request)


def _second_request(name: str, entries: dict[str, CheckpointEntry]) -> Request | None:
    """None while no second network is wanted, or its file is still missing."""
    if name != UPLOAD:
        return networks.request_for(entries[name].path) if name else None
    network_panel.upload_checkpoint(SECOND)
    return networks.upload_request(SECOND)


def study_of(spec: FigureSpec, material: Material, scene: Scene) -> Study:
    """Every photo by every network, from memory where it has been done, beside the stores.

    Raises CbamVizError.
    """
    rows = []
    for one in material.photos:
        row: list[Analysis] = []
        for model, network in enumerate(material.networks):
            first = row[0] if row else None
            row.append(analysis_of(spec, one.photo, network, scene, model, first))
        rows.append(tuple(row))
    if not material.stores:
        return Study(tuple(rows))
    opened = [one.store for one in material.stores]
    for network in material.networks:
        check_beside(opened, network.loaded, scene.view)
    return StoreStudy(tuple(rows), stores=tuple(opened))


def key_of(material: Material, scene: Scene) -> Hashable:
    """What decides the analyses."""
    return (
        tuple(one.photo.sha256 for one in material.photos),
        tuple(network.request for network in material.networks),
        tuple(one.key for one in material.stores),
        scene.view,
    )


def analysis_of(  # noqa: PLR0917
    spec: FigureSpec,
    photo: Photo,
    network: Network,
    scene: Scene,
    model: int,
    first: Analysis | None = None,
) -> Analysis:
    """One photo by network number `model`, from memory where it has been done.

    `first` is the same photo by the first network, if that is another one. Raises CbamVizError.
    """
    features, made = feature_layers(spec, model), made_columns(spec, model)
    same = photo.sha256 == scene.photo.sha256 and network.request == scene.request
    if same and not features and not made:
        return scene.analysis
    of = None if first is None else tuple(one.label for one in first.predictions[:1])

    def make() -> Analysis:
        with method_turns.taken() if made else nullcontext():
            return analyse_for(spec, network.loaded, photo, scene.view, model=model, first=first)

    asks = tuple(map(asked, made))
    key = (photo.sha256, network.request, scene.view, features, asks, of if made else None)
    return kept().analyses.get_or_make(key, make)


def key_of_photo(photo: Photo) -> str:
    """Short enough for a URL, and the same photo's in every session."""
    return photo.sha256[:12]


def _photo(name: str, scene: Scene) -> Chosen:
    if name == CURRENT:
        return current_photo(scene)
    sample = sample_of(name)
    if sample is not None:
        return Chosen(sample_photo(sample), name, None)
    one = kept().photos[name]
    return Chosen(one.photo, one.photo.name, one.content)


def current_photo(scene: Scene) -> Chosen:
    """The sidebar's photo."""
    own = own_photo()
    if own is None:
        return Chosen(scene.photo, f"{SAMPLE}{scene.settings.image}", None)
    return Chosen(scene.photo, scene.photo.name, own.content)


def _take_uploads() -> None:
    """Read new files at once; those that cannot be read are named and left out."""
    ours, values = kept(), session.page_settings().values
    errors = []
    picked = list(values.get("photos", [CURRENT]))
    for file in session.uploaded(UPLOADER):
        content = file.getvalue()
        try:
            photo = read_photo_apart(content, name=file.name, window=input_panel.window())
        except CbamVizError as error:
            errors.append(str(error))
            continue
        key = key_of_photo(photo)
        if key not in ours.photos:
            ours.photos[key] = Brought(photo, content)
            picked.append(key)
            values["photo"] = key
    values["photos"] = picked[:MOST_ROWS]
    ours.errors = tuple(errors)
