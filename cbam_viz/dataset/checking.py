"""What the columns of a shard must be: a store may come from anybody, and files may be edited."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from cbam_viz.batch.settings import LARGEST
from cbam_viz.images.geometry import VIEWS
from cbam_viz.store.arrow import arrow
from cbam_viz.store.precision import from_steps

MAX_VALUES = 2**26
"""Numbers in a column of lists of one shard."""
MAX_TEXT = 4 * 2**20
"""Bytes of a column of one value a photo; where all photos have one text, it may stand for each."""
MAX_PHOTO = 2**31 - 1
"""Largest number of a photo."""
MAX_SIDE = 10**6
"""Pixels of a side."""
MAX_PIXELS = 10**9
"""Of a photo or an input."""
_NEEDED = ("photo", "name", "sha256", "view")
_TEXTS = ("name", "sha256", "label", "prediction", "prediction_note", "notes", "view", "border")
_SIDES = (("photo_height", "photo_width"), ("input_height", "input_width"))
_WHOLE = ("photo", "prediction_index", *_SIDES[0], *_SIDES[1])
_SCALES, _OFFSETS = ("scale_y", "scale_x"), ("offset_y", "offset_x")
_COLOUR = re.compile("#[0-9a-f]{6}")


def refuse_bomb(told: Any) -> None:
    """Raise ValueError for a file that would fill memory, by what its metadata say of its size."""
    if told.num_rows > LARGEST:
        raise ValueError(f"it has {told.num_rows:,} rows, and a shard {LARGEST} at most")
    for number in range(told.num_row_groups):
        group = told.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            alone = chunk.num_values == group.num_rows
            if chunk.num_values > MAX_VALUES or (
                alone and chunk.total_uncompressed_size > MAX_TEXT
            ):
                raise ValueError(f"{chunk.path_in_schema} is larger than that of any shard")


def checked(table: Any, columns: Sequence[str]) -> Any:
    """The table with columns of the types that they are to have.

    Raises ValueError, which says what is wrong: a column is missing or of another kind, or has
    values that no photo can have.
    """
    for name in columns:
        place = table.schema.get_field_index(name)
        if place < 0:  # which pyarrow passes over in silence
            raise ValueError(f"it has no column {name}")
        column = _of_kind(name, table.column(place))
        if column.null_count and name in (*_NEEDED, *_OFFSETS, *_SCALES, *_SIDES[0], *_SIDES[1]):
            raise ValueError(f"{name} has gaps")
        table = table.set_column(place, name, column)
    _check_values({name: table[name] for name in columns if "/" not in name})
    return table


def _of_kind(name: str, column: Any) -> Any:
    pa = arrow()
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if name.endswith(("/channel", "/spatial")) or name in ("logits", "output"):
        if not (types.is_list(kind) or types.is_fixed_size_list(kind) or types.is_large_list(kind)):
            raise ValueError(f"{name} is no column of lists")
        steps = kind.value_type == pa.int16() and "/" in name
        if not (types.is_floating(kind.value_type) or steps):
            raise ValueError(f"{name} has lists of {kind.value_type}, not of floats")
        if any(chunk.flatten().null_count for chunk in column.chunks):
            raise ValueError(f"{name} has gaps within its lists")
        return _as_gates(column) if steps else column
    if name in _TEXTS:
        fits, wanted = types.is_string(kind) or types.is_large_string(kind), pa.string()
    elif name in _WHOLE or name.endswith("/height"):
        fits, wanted = types.is_integer(kind), pa.int64()
    else:
        fits, wanted = types.is_floating(kind) or types.is_integer(kind), pa.float64()
    if not fits:
        raise ValueError(f"{name} is of {kind}, not of {wanted}")
    return column.cast(wanted)


def _as_gates(column: Any) -> Any:
    """Lists of whole numbers of steps as lists of gates, float32."""
    pa = arrow()
    lists = column.combine_chunks()
    values = pa.array(from_steps(lists.flatten().to_numpy(zero_copy_only=False)))
    lengths = np.asarray(lists.value_lengths().fill_null(0))
    ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    mask = lists.is_null() if lists.null_count else None
    return pa.chunked_array([pa.ListArray.from_arrays(ends, values, mask=mask)])


def _check_values(columns: dict[str, Any]) -> None:
    found = {name: np.asarray(columns[name]) for name in (*_SCALES, *_OFFSETS) if name in columns}
    for name, values in found.items():
        if not np.isfinite(values).all() or (name in _SCALES and (values <= 0).any()):
            raise ValueError(f"{name} has values that no photo has")
    for sides in _SIDES:
        there = [np.asarray(columns[name]) for name in sides if name in columns]
        for values in there:
            if (values < 1).any() or (values > MAX_SIDE).any():
                raise ValueError(f"{sides[0]} or {sides[1]} is no side of a photo")
        if len(there) == 2 and (there[0] * there[1] > MAX_PIXELS).any():
            raise ValueError(f"{sides[0]} and {sides[1]} are those of no photo")
    photos = np.asarray(columns["photo"]) if "photo" in columns else np.zeros(0, np.int64)
    if (photos < 0).any() or (photos > MAX_PHOTO).any():
        raise ValueError("photo has numbers that are none of a plan")
    if "view" in columns and not set(columns["view"].unique().to_pylist()) <= set(VIEWS):
        raise ValueError("view has values that are none")
    colours = columns["border"].unique().to_pylist() if "border" in columns else []
    if not all(one is None or _COLOUR.fullmatch(one) for one in colours):
        raise ValueError("border has values that are no colours")
