"""What a store says of itself (`store.json`), and a photo's row in it."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from cbam_viz._schema import MismatchError, checked
from cbam_viz._text import shortened
from cbam_viz.batch.sources.item import Item
from cbam_viz.errors import StoreError
from cbam_viz.images import View
from cbam_viz.store.files import write_atomic
from cbam_viz.store.npz import layer_document
from cbam_viz.store.precision import STEPS, Array, Precision
from cbam_viz.store.provenance import versions
from cbam_viz.store.shards import MOST, LayerColumns, Layout, PhotoRow

if TYPE_CHECKING:
    from torch import Tensor

    from cbam_viz.analysis import Analysis
    from cbam_viz.attention import Attention

STORE = "store.json"
PLAN = "plan.parquet"
GATES = "gates"
FAILED = "failed.csv"
SUMMARIES = "summaries"
"""What statistics leave beside a store; it can be made again at any time."""
SCHEMA = 1
ONE_SIZE = (
    "--view crop gives inputs of one size, with --fit letterbox where the network takes rectangles"
)
"""What people do about maps that differ in size."""
_WORDS = {
    "float16": "gates as the network multiplied by them, rounded to the 11 bits of float16",
    "float32": "gates as the network multiplied by them, float32, nothing rescaled",
    "int16": f"gates as the network multiplied by them, times {STEPS}, rounded to whole numbers",
}
_MAY_DIFFER = ("cells", "composition", "verified")


_Positive = Annotated[int, msgspec.Meta(ge=1)]


class _Layer(msgspec.Struct):
    """What is read of every layer; the rest is read where its gates are put together again."""

    name: str
    stage: str
    module: str | None = None
    call: int = 1
    block: str | None = None


class _Input(msgspec.Struct):
    sentence: str = ""
    assumed: list[str] = []


class _Document(msgspec.Struct):
    """`store.json` as far as it is read: a store may come from anybody."""

    photos: _Positive
    shard_size: _Positive
    batch: _Positive
    sources: list[str]
    model: str
    classes: list[str] | None
    view: View
    input: _Input
    layers: list[_Layer]
    layout: Layout
    made_with: dict[str, str]


@dataclass(frozen=True)
class Record:
    """A store's own description."""

    photos: int
    shard_size: int
    batch: int
    layout: Layout
    document: dict[str, Any]
    """All of `store.json`."""

    @property
    def shards(self) -> int:
        """How many there are in all."""
        return -(-self.photos // self.shard_size)

    @property
    def fingerprint(self) -> dict[str, str]:
        """What the store was made with."""
        return dict(self.document["made_with"])


def new_record(
    probe: Analysis,
    made_with: dict[str, str],
    *,
    photos: int,
    shard_size: int,
    batch: int,
    precision: Precision,
    sources: list[str],
) -> Record:
    """Describe a store that is to be, by what the network gave for its first photo."""
    layout = layout_of(probe, precision)
    document = {
        "schema": SCHEMA,
        "photos": photos,
        "shard_size": shard_size,
        "batch": batch,
        "scale": _WORDS[precision],
        "sources": sources,
        "model": probe.model_name,
        "classes": None if probe.classes is None else list(probe.classes),
        "view": probe.geometry.view,
        "input": probe.input,
        "layers": _layers(probe.attention),
        "layout": asdict(layout),
        "unsupported": [asdict(one) for one in probe.attention.unsupported],
        "not_called": list(probe.attention.not_called),
        "versions": versions(),
        "made_with": made_with,
    }
    return _record(json.loads(json.dumps(document)))


def write_record(store: Path, record: Record) -> None:
    """Write `store.json`. Raises StoreError."""
    text = json.dumps(record.document, indent=1, ensure_ascii=True, allow_nan=False)
    write_atomic(store / STORE, text.encode() + b"\n", force=True)


def read_record(store: Path) -> Record | None:
    """Read `store.json`; None if there is none. Raises StoreError if it is not ours."""
    path = store / STORE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise StoreError(
                f"{path} was written by another version of cbam-viz (layout "
                f"{document['schema']!r}; this one reads {SCHEMA}). Update cbam-viz."
            )
        return _record(document)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except MismatchError as error:
        raise StoreError(f"{path} describes no store, or is damaged: {error}.") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} describes no store, or is damaged: {error!r}.") from error


def _record(document: dict[str, Any]) -> Record:
    told = checked(document, _Document)
    missing = {one.name for one in told.layout.layers} - {one.name for one in told.layers}
    if missing:
        raise MismatchError("layers", f"nothing is said of {min(missing)}")
    for one in told.layout.layers:
        if one.map_size is not None and math.prod(one.map_size) > MOST:
            raise MismatchError("layout", f"the map of {shortened(one.name)} is of no network")
    return Record(told.photos, told.shard_size, told.batch, told.layout, document)


def shard_path(store: Path, shard: int) -> Path:
    """Where a shard lies."""
    return store / GATES / f"{shard:06}.parquet"


def layout_of(probe: Analysis, precision: Precision) -> Layout:
    """The columns for a network: of its layers, and of its output where that is a row a photo.

    Raises StoreError for a layer whose columns would have the name of another column.
    """
    layers = tuple(
        LayerColumns(
            layer.name,
            None if layer.channel is None else layer.channel.shape[1],
            None if layer.spatial is None else _size(layer.spatial),
        )
        for layer in probe.layers
    )
    output = output_of(probe)
    name = "logits" if probe.output_kind == "logits" else "output"
    varying = probe.spec is None or probe.spec.varies(probe.geometry.view)
    return Layout(layers, None if output is None else (name, len(output)), varying, precision)


def output_of(analysis: Analysis) -> Array | None:
    """The network's output where it is one row of numbers a photo, (K,) float32; else None."""
    from torch import Tensor

    output = analysis.attention.output
    if not isinstance(output, Tensor) or output.ndim != 2 or not output.is_floating_point():
        return None
    return np.asarray(output[0].detach().float().cpu().numpy(), np.float32)


def gates_of(attention: Attention) -> dict[str, Array]:
    """A photo's gates by column."""
    gates: dict[str, Array] = {}
    for name, layer in attention.items():
        if layer.channel is not None:
            gates[f"{name}/channel"] = layer.channel[0].numpy()
        if layer.spatial is not None:
            gates[f"{name}/spatial"] = layer.spatial[0].numpy()
    return gates


def row_of(analysis: Analysis, item: Item, photo: int, layout: Layout) -> PhotoRow:
    """What is stored of one photo."""
    best = analysis.predictions[0] if analysis.predictions else None
    output = None if layout.output is None else output_of(analysis)
    if output is not None and layout.output is not None and len(output) != layout.output[1]:
        output = None
    return PhotoRow(
        photo=photo,
        name=item.name,
        sha256=analysis.photo.sha256,
        geometry=analysis.geometry,
        label=item.label,
        prediction=None if best is None else best.label,
        prediction_index=None if best is None else best.index,
        probability=None if best is None else best.probability,
        prediction_note=analysis.prediction_note,
        notes=analysis.photo.notes,
        output=output,
        gates=gates_of(analysis.attention),
    )


def placement_of(attention: Attention) -> Hashable:
    """Where a photo's maps lie and how they were found, which decides `other_placement`."""
    return tuple(
        (name, *(getattr(layer, part) for part in _MAY_DIFFER)) for name, layer in attention.items()
    )


def other_placement(analysis: Analysis, record: Record) -> list[dict[str, Any]]:
    """What differs from `store.json` in where this photo's maps lie and how they were found."""
    known = {layer["name"]: layer for layer in record.document["layers"]}
    found = json.loads(json.dumps(_layers(analysis.attention)))
    return [
        layer
        for layer in found
        if any(layer[key] != known.get(layer["name"], {}).get(key) for key in _MAY_DIFFER)
    ]


def _layers(attention: Attention) -> list[dict[str, Any]]:
    return [{"name": name, **layer_document(layer)} for name, layer in attention.items()]


def _size(maps: Tensor) -> tuple[int, int]:
    return maps.shape[1], maps.shape[2]
