"""Stores in a manifest: named with their fingerprint, and found again."""

from __future__ import annotations

from pathlib import Path

from cbam_viz._places import stores_folder
from cbam_viz.dataset import Store, open_store
from cbam_viz.dataset.reading import SAMPLES
from cbam_viz.errors import FigureError, StoreError
from cbam_viz.figures.beside.manifest import StoreSource, relative
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.stores.ranked import RankedPhotos
from cbam_viz.figures.content.storestudy import StoreStudy


def store_sources(figure: Composition, folder: Path) -> tuple[StoreSource, ...]:
    """Name the stores of a figure for a manifest in `folder`; none for a figure of photos."""
    if not isinstance(figure.study, StoreStudy):
        return ()
    return tuple(
        StoreSource(
            relative(store.path, folder), store.fingerprint, store.photos.num_rows, pictures(figure)
        )
        for store in figure.study.stores
    )


def pictures(figure: Composition) -> tuple[str, ...]:
    """SHA-256 of the store's photos whose pictures are in the figure, in order."""
    if not isinstance(figure.content, RankedPhotos):
        return ()
    return tuple(one.seen.analysis.photo.sha256 for one in figure.content.listed if one.seen.there)


def open_source_store(source: StoreSource, folder: Path) -> Store:
    """Open a store of a manifest that lies in `folder`, and check that it is the same one.

    Raises:
        FigureError: if it is gone, or holds other photos or gates now.
    """
    name = Path(source.file).name
    places = (folder / source.file, folder / name, stores_folder() / name, SAMPLES / name)
    for path in places:
        try:
            store = open_store(path)
        except StoreError:
            continue
        if store.fingerprint != source.fingerprint:
            raise FigureError(
                f"The store {path} has changed since the figure was made: its fingerprint is "
                f"{store.fingerprint[:12]}…, the manifest says {source.fingerprint[:12]}…, and it "
                f"holds {store.photos.num_rows:,} photos, then {source.photos:,}. Put the old one "
                "back, or make a new figure."
            )
        return store
    raise FigureError(
        f"The store {source.file} is not there, or can no longer be read (looked in {folder} and "
        f"{stores_folder()}). Put it back, or beside the manifest."
    )


def check_pictures(source: StoreSource, figure: Composition) -> None:
    """Raise FigureError unless the same photos of the store could be shown as then."""
    now = pictures(figure)
    if now == source.shown:
        return
    gone = len(set(source.shown) - set(now))
    what = (
        f"{gone} of its photos are no longer where they were, or have changed"
        if gone
        else "photos that were missing then are there now"
    )
    raise FigureError(
        f"The figure shows photos of the store {source.file}, and {what}. Put them as they were, "
        "or make a new figure."
    )
