"""A photo of a store as an analysis again: its picture, where it was seen, and its gates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbam_viz.analysis import Analysis
from cbam_viz.dataset.originals import original
from cbam_viz.dataset.reading import Store
from cbam_viz.errors import CbamVizError, StoreError
from cbam_viz.images import Geometry, Photo, read_photo
from cbam_viz.store.rebuild import rebuild_attention
from cbam_viz.store.shards import read_document

WHITE = 255
_PLACED = (
    "photo", "name", "sha256", "view", "photo_height", "photo_width", "input_height",
    "input_width", "scale_y", "scale_x", "offset_y", "offset_x", "border", "notes",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A photo of a store with the gates of some layers."""

    analysis: Analysis
    """Without prediction and output. Gates have the precision of the store."""
    there: bool
    """Whether the photo is still where it was, and the same; else its pixels are white."""


def seen(store: Store, row: int, layers: tuple[str, ...]) -> Seen:
    """Read one row of a store again, with the gates of these layers.

    Raises StoreError for a layer that the store has not.
    """
    known = {one["name"]: one for one in store.layers}
    columns = [f"{layer}/{part}" for layer in layers for part in _parts(store, layer)]
    heights = [f"{layer}/height" for layer in layers if _has_heights(store, layer)]
    told = store.columns_of(row, [*_PLACED, *columns, *heights])
    geometry = _geometry(told)
    try:
        arrays = _arrays(store, layers, told)
        ran = [layer for layer in layers if any(key.startswith(f"{layer}/") for key in arrays)]
        placed = {**known, **_placement(store, row, geometry)}
        attention = rebuild_attention(
            {layer: {**placed[layer], "key": layer} for layer in ran},
            arrays,
            {"input_size": geometry.input_size, "unsupported": (), "not_called": ()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{store.path} does not describe its layers: {error!r}.") from error
    photo, there = _photo(store, told, geometry)
    model = str(store.record.document["model"])
    return Seen(Analysis(photo, model, None, attention, geometry, ()), there)


def _arrays(store: Store, layers: Sequence[str], told: dict[str, Any]) -> dict[str, Any]:
    """The gates of a photo by column, (1, C) and (1, h, w); those that did not run are left out."""
    arrays: dict[str, Any] = {}
    for layer in layers:
        for part in _parts(store, layer):
            values = told[f"{layer}/{part}"]
            if values is None:
                continue
            gate = np.array(values, np.float32)
            if part == "spatial":
                rows = told.get(f"{layer}/height") or store.shape(layer, "spatial")[0]
                gate = gate.reshape(int(rows), -1)
            arrays[f"{layer}/{part}"] = gate[None]
    return arrays


def _parts(store: Store, layer: str) -> list[str]:
    found = [part for name, part in store.gates() if name == layer]
    if not found:
        store.shape(layer, "channel")  # says which layers there are
    return [str(part) for part in found]


def _has_heights(store: Store, layer: str) -> bool:
    return store.record.layout.varying and "spatial" in _parts(store, layer)


def _geometry(told: dict[str, Any]) -> Geometry:
    border = told["border"]
    colour = None if border is None else tuple(bytes.fromhex(border.removeprefix("#")))
    return Geometry(
        (told["photo_height"], told["photo_width"]),
        (told["input_height"], told["input_width"]),
        told["scale_y"],
        told["scale_x"],
        told["offset_y"],
        told["offset_x"],
        told["view"],
        None if colour is None else (colour[0], colour[1], colour[2]),
    )


def _placement(store: Store, row: int, geometry: Geometry) -> dict[str, Any]:
    """What the shard says of layers whose cells lie otherwise at this size of the input."""
    document = read_document(store.file_of(row))
    size = "{} x {}".format(*geometry.input_size)
    return {one["name"]: one for one in document.get("placement", {}).get(size, ())}


def _photo(store: Store, told: dict[str, Any], geometry: Geometry) -> tuple[Photo, bool]:
    content = original(store, told["photo"])
    name = str(told["name"]).rpartition("/")[2] or str(told["name"])
    if content is not None:
        try:
            made = store.record.fingerprint
            window, index = (json.loads(made.get(key, "null")) for key in ("window", "slice"))
            photo = read_photo(
                content, name=name, window=None if window is None else tuple(window), index=index
            )
            if photo.size == geometry.photo_size:
                return photo, True
        except (CbamVizError, ValueError, TypeError):
            pass
    white = np.broadcast_to(np.full((), WHITE, np.uint8), (*geometry.photo_size, 3))
    return Photo(white, name, str(told["sha256"]), "none"), False
