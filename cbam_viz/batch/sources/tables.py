"""Photos in tables: Parquet files with a column of images, Hugging Face datasets saved to disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbam_viz._text import few
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
    return name.lower().endswith(".parquet")


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
        for split in _json(folder / HF_SPLITS).get("splits", []):
            yield from photos_in_dataset(folder / str(split), f"{below}/{split}", columns)
        return
    for entry in _json(folder / "state.json").get("_data_files", []):
        path = folder / Path(str(entry["filename"])).name
        with _said(path):
            table = open_arrow(path)
            image_column(table.schema, columns.image, path)
            label = label_column(table.schema, columns.label, path)
            names = _class_names(table.schema.metadata, label) or _info_names(folder, label)
            labels = table.column(label).to_pylist() if label else [None] * table.num_rows
            place: tuple[str, Kind, Path] = (f"{below}/{path.name}", "arrow", path)
            yield from _rows(labels, table.num_rows, names, place)


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
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    named = [name for name in fitting if name.lower() in IMAGE_NAMES]
    found = named or fitting
    if len(found) != 1:
        has = f"several that could ({few(found)})" if found else f"none ({few(schema.names)})"
        raise ImageError(
            f"{path} should have one column of images, of bytes or as Hugging Face stores them; "
            f"it has {has}. Say which by --image-column."
        )
    return str(found[0])


def label_column(schema: pyarrow.Schema, asked: str | None, path: Path) -> str | None:
    """Return the column of labels: the one asked for, one of a usual name, or None."""
    if asked is not None and asked not in schema.names:
        raise ImageError(f"{path} has no column {asked!r}; it has {few(schema.names)}.")
    return asked or next((name for name in LABEL_NAMES if name in schema.names), None)


def bytes_of(value: Any) -> bytes:
    """Return the file in one cell. Raises ImageError if it holds none."""
    if isinstance(value, dict):
        value = value.get("bytes")
    if not isinstance(value, bytes) or not value:
        raise ImageError(
            "The row holds no bytes of an image. A dataset that names files must be saved with "
            "the images in it."
        )
    return value


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    types = arrow().types
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _parquet_labels(file: Any, label: str | None) -> Iterator[Any]:
    if label is None:
        while True:
            yield None
    for batch in file.iter_batches(ROWS, columns=[label], use_threads=False):
        yield from batch.column(0).to_pylist()


def _rows(
    labels: Any, count: int, names: list[str] | None, place: tuple[str, Kind, Path]
) -> Iterator[Item]:
    below, kind, path = place
    for row, label in zip(range(count), labels, strict=False):
        yield Item(f"{below}#{row}", kind, str(path), _text(label, names), row)


def _text(label: Any, names: list[str] | None) -> str | None:
    if label is None:
        return None
    if isinstance(label, int) and names and 0 <= label < len(names):
        return names[label]
    return str(label)


def _class_names(metadata: dict[bytes, bytes] | None, label: str | None) -> list[str] | None:
    """What Hugging Face keeps in a file's description of the numbers in a column."""
    try:
        told = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        return _names(told["info"]["features"][label])
    except (KeyError, TypeError, ValueError):
        return None


def _info_names(folder: Path, label: str | None) -> list[str] | None:
    features = _json(folder / HF_DATASET).get("features") or {}
    return _names(features.get(label))


def _names(feature: Any) -> list[str] | None:
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read ({error}). Save the dataset again.") from error
    return told if isinstance(told, dict) else {}


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except (arrow().ArrowException, OSError, KeyError) as error:
        cause = str(error).partition("\n")[0][:200]
        raise ImageError(f"{path} cannot be read as a table: {cause}.") from error
