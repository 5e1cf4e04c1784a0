"""Gates of many photos as Parquet files, one for each shard: a row a photo, a column a gate.

Any reader of Parquet takes them:

    pandas.read_parquet("store/gates", columns=["label", "layer4.1.se/channel"])
    duckdb.sql('''SELECT label, avg("layer4.1.se/channel"[7]) FROM 'store/gates/*.parquet'
                  GROUP BY label''')

Why Parquet: a shard is one file, so that it is there as a whole or not at all, and maps may differ
in size from photo to photo. Values are split into planes of bytes before zstd: gates of trained
networks then take 10 to 12 bits each. docs/store.md has the measurements and every column.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from cbam_viz.errors import StoreError
from cbam_viz.images import Geometry
from cbam_viz.store.arrow import arrow, parquet
from cbam_viz.store.precision import Array, Precision, beyond_steps, to_half_precision, to_steps

if TYPE_CHECKING:
    import pyarrow

DOCUMENT = b"cbam_viz"
"""Key of the JSON text in a file's description."""
_PAGE = 8 << 20
"""Bytes; a column of a shard is one page, which compresses best."""
_LEVEL = 1
"""Of zstd: more takes longer and saves nothing on such bytes."""
_SMALL, _SMALL_LEVEL = 1 << 16, 4
"""Columns of fewer values are compressed by Brotli instead: zstd would code their planes of bytes,
which are shorter than half of one of its blocks, with one table for all four."""
FORM = "2"
"""Of a shard's bytes; another number where they come out otherwise. Readers need not know it."""


MOST = 1 << 20
"""Channels, or cells of a map, of one layer; those of networks are far fewer."""
_Side = Annotated[int, msgspec.Meta(ge=1, le=MOST)]


@dataclass(frozen=True)
class LayerColumns:
    """What is stored of one layer."""

    name: str
    channels: Annotated[int, msgspec.Meta(ge=1, le=MOST)] | None
    """None for a layer without channel weights."""
    map_size: tuple[_Side, _Side] | None
    """Height and width for the first photo; None for a layer without a map."""


@dataclass(frozen=True)
class Layout:
    """The columns of a store."""

    layers: tuple[LayerColumns, ...]
    output: tuple[str, int] | None = None
    """Name and length of the column of the network's output."""
    varying: bool = False
    """True if maps differ in size from photo to photo; their heights are then stored too."""
    precision: Precision = "float16"


@dataclass(frozen=True)
class PhotoRow:
    """What is stored of one photo."""

    photo: int
    """Its place in the plan."""
    name: str
    sha256: str
    geometry: Geometry
    label: str | None = None
    prediction: str | None = None
    prediction_index: int | None = None
    probability: float | None = None
    prediction_note: str = ""
    notes: tuple[str, ...] = ()
    output: Array | None = None
    """(K,) float32, as the network gave it."""
    gates: Mapping[str, Array] = field(default_factory=dict)
    """By column: `layer/channel` (C,), `layer/spatial` (h, w)."""


def unfit(layout: Layout, gates: Mapping[str, Array]) -> str:
    """Say why a photo's gates do not go into these columns; empty if they do."""
    for key, gate in gates.items():
        name, _, part = key.rpartition("/")
        known = next((layer for layer in layout.layers if layer.name == name), None)
        wanted = None if known is None else known.channels if part == "channel" else known.map_size
        if known is None or wanted is None:
            return f"it has {part} gates at {name}, where the first photo had none"
        if part == "channel" and gate.shape != (wanted,):
            return f"{name} has {gate.size} channel weights, and {wanted} for the first photo"
        if part == "spatial" and not layout.varying and gate.shape != wanted:
            return f"the map of {name} is {gate.shape}, and {wanted} for the first photo"
    return ""


def too_far(layout: Layout, gates: Mapping[str, Array]) -> str:
    """Say which of a photo's gates is beyond what the store's numbers hold; empty if none is."""
    return beyond_steps(gates) if layout.precision == "int16" else ""


def shard_bytes(
    layout: Layout,
    rows: Sequence[PhotoRow],
    document: Mapping[str, Any],
    *,
    before: Mapping[str, Sequence[int]] | None = None,
) -> bytes:
    """The content of a shard's file; equal for equal rows and document.

    `before` are further columns of whole numbers, which come first.
    """
    pa, pq = arrow(), parquet()
    first = {name: pa.array(list(n), pa.int64()) for name, n in (before or {}).items()}
    columns = {**first, **_about(rows), **_gates(layout, rows)}
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in columns.items()],
        metadata={DOCUMENT: json.dumps(document, ensure_ascii=True, allow_nan=False)},
    )
    table = pa.Table.from_arrays(list(columns.values()), schema=schema)
    split = [f"{name}.list.element" for name, column in columns.items() if _is_list(column)]
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=max(1, len(rows)),
        **_compression(columns),
        use_dictionary=["label", "prediction", "prediction_note", "notes", "view", "border"],
        use_byte_stream_split=split,
        write_statistics=["photo"],
        data_page_size=_PAGE,
    )
    return buffer.getvalue()


def _compression(columns: Mapping[str, pyarrow.Array]) -> dict[str, Any]:
    """By which codec each column is compressed, and how hard."""
    codecs: dict[str, str] = {}
    for name, column in columns.items():
        lists = _is_list(column)
        small = lists and len(column.flatten()) < _SMALL
        codecs[f"{name}.list.element" if lists else name] = "brotli" if small else "zstd"
    levels = {"brotli": _SMALL_LEVEL, "zstd": _LEVEL}
    return {
        "compression": codecs,
        "compression_level": {name: levels[codec] for name, codec in codecs.items()},
    }


def _is_list(column: pyarrow.Array) -> bool:
    pa = arrow()
    return bool(pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type))


def read_document(path: Path) -> dict[str, Any]:
    """What a shard's file says of itself, and how many rows it has (`rows`). Raises StoreError."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError("it is no file")
        found = parquet().read_metadata(path)
        return {**json.loads(found.metadata[DOCUMENT]), "rows": found.num_rows}
    except (OSError, ValueError, KeyError, TypeError) as error:  # ArrowInvalid is a ValueError
        raise StoreError(f"{path} is no shard of a store, or is damaged: {error}.") from error


def _about(rows: Sequence[PhotoRow]) -> dict[str, pyarrow.Array]:
    pa = arrow()
    text, whole, real = pa.string(), pa.int32(), pa.float64()
    shown = [row.geometry for row in rows]
    return {
        "photo": pa.array([row.photo for row in rows], pa.int64()),
        "name": pa.array([row.name for row in rows], text),
        "sha256": pa.array([row.sha256 for row in rows], text),
        "label": pa.array([row.label for row in rows], text),
        "prediction": pa.array([row.prediction for row in rows], text),
        "prediction_index": pa.array([row.prediction_index for row in rows], whole),
        "probability": pa.array([row.probability for row in rows], real),
        "prediction_note": pa.array([row.prediction_note for row in rows], text),
        "notes": pa.array([" ".join(row.notes) for row in rows], text),
        "view": pa.array([one.view for one in shown], text),
        "photo_height": pa.array([one.photo_size[0] for one in shown], whole),
        "photo_width": pa.array([one.photo_size[1] for one in shown], whole),
        "input_height": pa.array([one.input_size[0] for one in shown], whole),
        "input_width": pa.array([one.input_size[1] for one in shown], whole),
        "scale_y": pa.array([one.scale_y for one in shown], real),
        "scale_x": pa.array([one.scale_x for one in shown], real),
        "offset_y": pa.array([one.offset_y for one in shown], real),
        "offset_x": pa.array([one.offset_x for one in shown], real),
        "border": pa.array([_colour(one.border) for one in shown], text),
    }


def _colour(border: tuple[int, int, int] | None) -> str | None:
    return None if border is None else "#{:02x}{:02x}{:02x}".format(*border)


def _gates(layout: Layout, rows: Sequence[PhotoRow]) -> dict[str, pyarrow.Array]:
    columns: dict[str, pyarrow.Array] = {}
    if layout.output is not None:
        name, length = layout.output
        columns[name] = _lists([row.output for row in rows], length)
    precision = layout.precision
    for layer in layout.layers:
        if layer.channels is not None:
            key = f"{layer.name}/channel"
            columns[key] = _lists([row.gates.get(key) for row in rows], layer.channels, precision)
        if layer.map_size is not None:
            key = f"{layer.name}/spatial"
            maps = [row.gates.get(key) for row in rows]
            if layout.varying:
                heights = [None if one is None else one.shape[0] for one in maps]
                columns[f"{layer.name}/height"] = arrow().array(heights, arrow().int32())
            height, width = layer.map_size
            columns[key] = _lists(maps, None if layout.varying else height * width, precision)
    return columns


def _lists(
    arrays: Sequence[Array | None], length: int | None, precision: Precision = "float32"
) -> pyarrow.Array:
    """A column of lists of numbers, of equal `length` or each of its own; None is missing."""
    pa = arrow()
    filler = np.zeros(length or 0, np.float32)
    parts = [filler if one is None else one.reshape(-1) for one in arrays]
    values = np.concatenate(parts).astype(np.float32, copy=False) if parts else filler[:0]
    if precision == "float16":
        values = to_half_precision(values)
    stored = pa.array(to_steps(values) if precision == "int16" else values)
    element = pa.field("element", stored.type, nullable=False)
    missing = np.array([one is None for one in arrays], bool)
    mask = pa.array(missing) if missing.any() else None
    if length is not None:
        kind = pa.list_(element, length)
        return pa.FixedSizeListArray.from_arrays(stored, type=kind, mask=mask)
    ends = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), stored, pa.list_(element), mask=mask)
