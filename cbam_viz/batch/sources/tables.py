"""Photos in tables: Parquet and Arrow files with a column of images, Hugging Face's datasets.

An image is the bytes of its file or, where a dataset was kept without them, that file's path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbam_viz._text import few, said, shortened
from cbam_viz.batch.sources.files import can_be_a_path
from cbam_viz.batch.sources.item import Item, Kind
from cbam_viz.errors import ImageError
from cbam_viz.store.arrow import arrow, parquet

if TYPE_CHECKING:
    import pyarrow

IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "photo", "pixel_values")
LABEL_NAMES = ("label", "labels", "class", "cls", "class_name", "category", "target", "fine_label")
HF_DATASET, HF_SPLITS = "dataset_info.json", "dataset_dict.json"
ROWS = 64
"""Rows of labels, or of images, that are in memory at a time."""


@dataclass(frozen=True)
class Columns:
    """Which columns are meant; None: they are looked for."""

    image: str | None = None
    label: str | None = None


def is_table(name: str) -> bool:
    """Whether a file of this name is taken for a table of photos."""
    return name.lower().endswith((".parquet", ".pq")) or is_arrow(name)


def is_arrow(name: str) -> bool:
    """Whether it is one as Hugging Face's cache has them, and none that a `map` left there."""
    return name.lower().endswith(".arrow") and not name.startswith("cache-")


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is what Hugging Face's `save_to_disk` makes."""
    return (folder / HF_SPLITS).is_file() or (
        (folder / HF_DATASET).is_file() and (folder / "state.json").is_file()
    )


def photos_in_parquet(path: Path, below: str, columns: Columns) -> Iterator[Item]:
    """Yield a Parquet file's photos, one a row. Raises ImageError if it has no images."""
    with _said(path):
        file = parquet().ParquetFile(path)
        image_column(file.schema_arrow, columns.image, path)
        label = label_column(file.schema_arrow, columns.label, path)
        names = _class_names(file.schema_arrow.metadata, label)
        count = file.metadata.num_rows
        yield from _rows(_parquet_labels(file, label), count, names, (below, "parquet", path))


def photos_in_dataset(folder: Path, below: str, columns: Columns) -> Iterator[Item]:
    """Yield the photos of all splits of a Hugging Face dataset on disk. Raises ImageError."""
    if (folder / HF_SPLITS).is_file():
        for split in _listed(folder / HF_SPLITS, "splits"):
            name = Path(str(split)).name
            yield from photos_in_dataset(folder / name, f"{below}/{name}", columns)
        return
    for entry in _listed(folder / "state.json", "_data_files"):
        name = Path(str(entry.get("filename") if isinstance(entry, dict) else entry)).name
        yield from photos_in_arrow(folder / name, f"{below}/{name}", columns)


def photos_in_arrow(path: Path, below: str, columns: Columns) -> Iterator[Item]:
    """Yield an Arrow file's photos, one a row. Raises ImageError if it has no images."""
    with _said(path):
        table = open_arrow(path)
        image_column(table.schema, columns.image, path)
        label = label_column(table.schema, columns.label, path)
        names = _class_names(table.schema.metadata, label) or _info_names(path.parent, label)
        batches = table.select([label]).to_batches(ROWS) if label else []
        labels = (one for batch in batches for one in batch.column(0).to_pylist())
        yield from _rows(
            labels if label else repeat(None), table.num_rows, names, (below, "arrow", path)
        )


def open_arrow(path: Path) -> Any:
    """Map an Arrow file, a stream as Hugging Face writes it or a random-access file."""
    pa = arrow()
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def image_column(schema: pyarrow.Schema, asked: str | None, path: Path) -> str:
    """Return the column of images: the one asked for, or the one that can only be it."""
    if asked is not None:
        if asked not in schema.names:
            raise ImageError(f"{path} has no column {asked!r}; it has {few(schema.names)}.")
        return asked
    holding = [field for field in schema if _holds_bytes(field.type)]
    fitting = [field.name for field in holding]
    paths = [field.name for field in schema if _is_text(field.type)]
    found = (
        [name for name in fitting if name.lower() in IMAGE_NAMES]
        or [field.name for field in holding if arrow().types.is_struct(field.type)]
        or fitting
        or [name for name in paths if name.lower() in IMAGE_NAMES]
    )
    if len(found) != 1:
        has = f"several that could ({few(found)})" if found else f"none ({few(schema.names)})"
        raise ImageError(
            f"{path} should have one column of images, of bytes, as Hugging Face stores them or of "
            f"paths; it has {has}. Say which by --image-column."
        )
    return str(found[0])


def label_column(schema: pyarrow.Schema, asked: str | None, path: Path) -> str | None:
    """Return the column of labels: the one asked for, one of a usual name, or None."""
    if asked is not None and asked not in schema.names:
        raise ImageError(f"{path} has no column {asked!r}; it has {few(schema.names)}.")
    there = {name.lower(): name for name in reversed(schema.names)}
    return asked or next((there[name] for name in LABEL_NAMES if name in there), None)


def content_of(value: Any, folder: Path) -> bytes | Path:
    """Return the bytes of the file in one cell, or its path, if that lies below the table's folder.

    A table from elsewhere may name any file of this machine, and is not let to. Raises ImageError
    if the cell holds neither, or no such file is there.
    """
    told = value if isinstance(value, dict) else {"bytes": value, "path": value}
    data, path = told.get("bytes"), told.get("path")
    if isinstance(data, bytes) and data:
        return data
    if not isinstance(path, str) or not path:
        raise ImageError("The row holds no image: neither the bytes of a file nor its path.")
    file = folder / path
    inside = Path(os.path.realpath(folder)) in Path(os.path.realpath(file)).parents
    if not inside or not can_be_a_path(file) or not file.is_file():
        where = "is not there" if inside else "does not lie below the table's folder"
        raise ImageError(
            f"The row holds no bytes of an image but names the file {shortened(path)}, which "
            f"{where}. Save the dataset with the images in it, or give a list of the files."
        )
    return file


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    types = arrow().types
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return any(
        is_such(kind) for is_such in (types.is_binary, types.is_large_binary, types.is_binary_view)
    )


def _is_text(kind: pyarrow.DataType) -> bool:
    types = arrow().types
    return any(
        is_such(kind) for is_such in (types.is_string, types.is_large_string, types.is_string_view)
    )


def _parquet_labels(file: Any, label: str | None) -> Iterator[Any]:
    if label is None:
        yield from repeat(None)
    for batch in file.iter_batches(ROWS, columns=[label], use_threads=False):
        yield from batch.column(0).to_pylist()


def _rows(
    labels: Any, count: int, names: list[str] | None, place: tuple[str, Kind, Path]
) -> Iterator[Item]:
    below, kind, path = place
    for row, label in zip(range(count), labels, strict=False):
        yield Item(f"{below}#{row}", kind, str(path), _text(label, names), row)


def _text(label: Any, names: list[str] | None) -> str | None:
    if label is None or (label == -1 and names):  # Hugging Face's sign for an unknown class
        return None
    if isinstance(label, int) and names and 0 <= label < len(names):
        return names[label]
    text = label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else str(label)
    return text or None


def _class_names(metadata: dict[bytes, bytes] | None, label: str | None) -> list[str] | None:
    """What Hugging Face keeps in a file's description of the numbers in a column."""
    try:
        told = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        return _names(told["info"]["features"][label])
    except (KeyError, TypeError, ValueError):
        return None


def _info_names(folder: Path, label: str | None) -> list[str] | None:
    if not (folder / HF_DATASET).is_file():
        return None
    features = _json(folder / HF_DATASET).get("features")
    return _names(features.get(label)) if isinstance(features, dict) else None


def _names(feature: Any) -> list[str] | None:
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def _listed(path: Path, key: str) -> list[Any]:
    """What a dataset's own file lists under a key. Raises ImageError if it is no list."""
    found = _json(path).get(key)
    if not isinstance(found, list):
        raise ImageError(f"{path} lists no {key}, so it is of no dataset. Save the dataset again.")
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImageError(f"{path} cannot be read ({error}). Save the dataset again.") from error
    return told if isinstance(told, dict) else {}


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except (arrow().ArrowException, OSError, KeyError) as error:
        cause = said(error).rstrip(".")
        raise ImageError(f"{path} cannot be read as a table: {cause}.") from error
