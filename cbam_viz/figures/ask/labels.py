"""Classes of photos as they are labelled: by their folders, or by a file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from cbam_viz._places import absolute
from cbam_viz.errors import FigureError

MAX_BYTES = 64 * 1024**2
HEADS = ("file", "filename", "image", "photo", "path", "name")
"""What the first line of a file of labels may say of its first column."""


def classes_by_folder(photos: Sequence[Path]) -> list[str]:
    """The name of the folder that each photo lies in; where links stand, that of the link."""
    return [absolute(path).parent.name for path in photos]


def classes_by_file(photos: Sequence[Path], file: Path) -> list[str]:
    """The class of each photo in a file of lines `photo,class` (CSV, or with tabs or semicolons).

    A photo is named by its path from the file's folder, or by its name alone. A first line such as
    `file,class` is a heading.

    Raises:
        FigureError: if the file cannot be read, has no class of a photo, or two.
    """
    labels = _read(file)
    found, missing = [], []
    for path in photos:
        named = next((labels[key] for key in _names(path, file.parent) if key in labels), ())
        if len(named) > 1:
            raise FigureError(f"{file.name} gives {path.name} several classes: {', '.join(named)}.")
        if named:
            found.append(named[0])
        else:
            missing.append(path.name)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise FigureError(
            f"{file.name} has no class for {', '.join(missing[:3])}{more}. It takes a line "
            "photo,class for each photo."
        )
    return found


def _names(path: Path, folder: Path) -> tuple[str, ...]:
    """How a file of labels in `folder` may name a photo, the surest first."""
    inside = [
        whole.relative_to(base).as_posix()
        for whole, base in (
            (absolute(path), absolute(folder)),
            (path.resolve(), folder.resolve()),
        )
        if whole.is_relative_to(base)
    ]
    return (*inside, path.as_posix(), path.name, path.stem)


def _read(file: Path) -> dict[str, tuple[str, ...]]:
    """The classes of each photo, by its name in the file; more than one is an error later on."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise FigureError(f"{file.name} is too large for a file of labels.")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FigureError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise FigureError(f"{file.name} is no text in UTF-8.") from error
    first = text.partition("\n")[0]
    delimiter = next((one for one in "\t;" if one in first), ",")
    labels: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(csv.reader(text.splitlines(), delimiter=delimiter)):
        cells = [cell.strip() for cell in line]
        if not any(cells) or (number == 0 and cells[0].lower() in HEADS):
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise FigureError(
                f"Line {number + 1} of {file.name} is no photo and class, such as cat1.jpg,cat."
            )
        name = cells[0].replace("\\", "/").removeprefix("./")
        labels[name] = tuple(dict.fromkeys((*labels.get(name, ()), cells[1])))
    return labels
