"""A figure made again from its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.formats import SUFFIXES, format_of
from cbam_viz.figures.beside.manifest import (
    Manifest,
    NetworkSource,
    check_network,
    differences,
    find_file,
    open_evaluation,
    open_photo,
)
from cbam_viz.figures.beside.runs import open_study
from cbam_viz.figures.beside.stores import check_pictures, open_source_store
from cbam_viz.figures.content.storestudy import study_beside
from cbam_viz.figures.content.study import Tick, averages, study
from cbam_viz.figures.make import Built, build
from cbam_viz.images import Photo, changed
from cbam_viz.models import LoadedModel, load_model

Opener = Callable[[NetworkSource, Path | None], LoadedModel]
"""Opens a network, given its checkpoint's file where it has one."""


@dataclass(frozen=True)
class Remade:
    """The figure and its files."""

    built: Built
    files: dict[str, bytes]
    """By the names in the manifest."""
    differences: tuple[str, ...]
    """Sentences on files that came out otherwise; empty: byte for byte the same."""


def pictures(manifest: Manifest) -> list[str]:
    """Names of the manifest's files that show the figure."""
    return [file.name for file in manifest.files if Path(file.name).suffix.lower() in SUFFIXES]


def remake(
    manifest: Manifest,
    folder: Path,
    *,
    open_network: Opener | None = None,
    search: Sequence[Path] = (),
    tick: Tick = lambda: None,
) -> Remade:
    """Make the figure of a manifest that lies in `folder` again.

    Photos and checkpoints are looked for where the manifest says, then by their names beside it;
    checkpoints in the folders `search` as well.

    Raises:
        FigureError: if a photo, a store or a checkpoint is gone or has changed.
        CbamVizError: if one cannot be read.
    """
    if not pictures(manifest):
        raise FigureError("The manifest names no picture that could be made again.")
    if manifest.run is not None:
        return _rendered(manifest, build(manifest.spec, open_study(manifest.run, folder)))
    if manifest.evaluation is not None:
        measured = open_evaluation(manifest.evaluation, folder)
        return _rendered(manifest, build(manifest.spec, measured))
    photos: Iterable[Photo] = (open_photo(source, folder) for source in manifest.photos)
    if not averages(manifest.spec):
        photos = list(photos)  # one that is gone is told of before any network is opened
    networks = [
        open_source(source, (folder, *search), open_network or open_plainly)
        for source in manifest.networks
    ]
    if manifest.stores:
        built = _of_stores(manifest, folder, networks, photos)
    else:
        analysed = study(manifest.spec, networks, photos, manifest.view, tick=tick)
        built = build(manifest.spec, analysed)
    return _rendered(manifest, built)


def _rendered(manifest: Manifest, built: Built) -> Remade:
    files = {name: built.render(format_of(name), dpi=manifest.dpi) for name in pictures(manifest)}
    return Remade(built, files, tuple(differences(manifest, files)))


def _of_stores(
    manifest: Manifest, folder: Path, networks: Sequence[LoadedModel], photos: Iterable[Photo]
) -> Built:
    """The figure of stores, with the photos beside them where there are some."""
    stores = tuple(open_source_store(source, folder) for source in manifest.stores)
    beside = study_beside(stores, networks, photos, manifest.view)
    built = build(manifest.spec, beside)
    check_pictures(manifest.stores[0], built)
    return built


def open_source(
    source: NetworkSource, folders: Sequence[Path], open_network: Opener
) -> LoadedModel:
    """Open a network of a manifest and check that it is the same one.

    Raises:
        FigureError: if its checkpoint is gone or has changed.
    """
    path = None
    if source.checkpoint is not None:
        found = (find_file(source.checkpoint, folder, folders=True) for folder in folders)
        path = next((file for file in found if file is not None), None)
        if path is None:
            looked = ", ".join(str(folder) for folder in folders)
            raise FigureError(
                f"The checkpoint {source.checkpoint} is not there (looked in {looked}). Put it "
                "back, or beside the manifest."
            )
    loaded = open_network(source, path)
    check_network(source, loaded)
    return loaded


def open_plainly(source: NetworkSource, path: Path | None) -> LoadedModel:
    """Open it by `load_model`; never runs code that a manifest names."""
    if source.factory is not None or (path is None and source.architecture is None):
        raise FigureError(
            f"The network {source.name} is a Python object of its author's. Open it yourself and "
            "hand it over: remake(..., open_network=...), or --model on the command line."
        )
    loaded = load_model(
        path,
        architecture=source.architecture,
        attention=source.attention,
        num_classes=source.num_classes,
        allow_missing_attention=source.allow_missing_attention,
    )
    if source.input is not None:
        loaded = replace(loaded, spec=changed(loaded.spec, source.input))
    return loaded if source.classes is None else replace(loaded, classes=source.classes)
