"""What class a photo is said to be of: by its folder, by a CSV file, or by its source."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cbam_viz._text import few
from cbam_viz.batch.sources.item import Item
from cbam_viz.errors import ImageError

AUTO, FOLDER, NONE = "auto", "folder", "none"
NAME_COLUMNS = ("file", "filename", "file_name", "name", "path", "image", "photo", "id")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target")

Labelled = Callable[[Item], Item]


def labels_by(way: str) -> Labelled:
    """Return what gives an item its label.

    `auto` keeps what the source says, else the folder that a photo lies in below its source;
    `folder` takes that folder in any case; `none` takes labels off; anything else is the path of a
    CSV file with a column of names (the path below the source, or the last part of it) and a column
    of labels. Raises ImageError for a file that is no such table.
    """
    if way == AUTO:
        return lambda item: item if item.label is not None else _by_folder(item)
    if way == FOLDER:
        return _by_folder
    if way == NONE:
        return lambda item: replace(item, label=None)
    known = read_labels(Path(way))

    def by_file(item: Item) -> Item:
        last = PurePosixPath(item.name).name
        return replace(item, label=known.get(item.name, known.get(last)))

    return by_file


def read_labels(path: Path) -> dict[str, str]:
    """Read a CSV file of names and labels. Raises ImageError if it is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            name, label = _column(columns, NAME_COLUMNS), _column(columns, LABEL_COLUMNS)
            if name is None or label is None:
                raise ImageError(
                    f"{path} needs a first line that names a column of files ('file') and one of "
                    f"labels ('label'); it names {few(columns) or 'nothing'}."
                )
            rows = [(row[name], row[label]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"The labels in {path} cannot be read: {error}.") from error
    return {
        file.replace("\\", "/").removeprefix("./"): text for file, text in rows if file and text
    }


def _by_folder(item: Item) -> Item:
    folder = PurePosixPath(item.name).parent.name
    archive = item.kind != "file" and folder == Path(item.path).name
    return replace(item, label=None if archive else folder or None)


def _column(columns: object, known: tuple[str, ...]) -> str | None:
    there = {str(name).strip().lower(): str(name) for name in columns}  # type: ignore[attr-defined]
    return next((there[name] for name in known if name in there), None)
