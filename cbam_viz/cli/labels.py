"""The true classes of photos: a table of file names and labels, or the folders that they lie in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import click

from cbam_viz._places import absolute
from cbam_viz._text import few, quoted
from cbam_viz.errors import MetricError

FOLDERS = "folders"
_MOST_BYTES = 64 * 1024**2


class Labels:
    """Labels by file name, with or without folder and ending; or by folder."""

    def __init__(self, source: str) -> None:
        """Read a CSV or JSON file, else raise click.UsageError; `folders` are their names."""
        self._table = None if source == FOLDERS else _read(Path(source))

    def of(self, path: Path, classes: Sequence[str] | None) -> int:
        """The class of a photo.

        Raises:
            MetricError: it has no label, or its label is no class of the network.
        """
        if self._table is None:
            label = absolute(path).parent.name
        else:
            names = (str(path), path.as_posix(), path.name, path.stem)
            found = next((self._table[name] for name in names if name in self._table), None)
            if found is None:
                raise MetricError("it has no label")
            label = found
        return _class(label, classes)


def _class(label: str, classes: Sequence[str] | None) -> int:
    if classes is not None:
        folded = [name.casefold() for name in classes]
        if label.casefold() in folded:
            return folded.index(label.casefold())
    if label.isdecimal() and len(label) < 9:
        number = int(label)
        if classes is None or number < len(classes):
            return number
    known = f"the classes are {few(classes)}" if classes else "the names of classes are not known"
    raise MetricError(f"its label {quoted(label)} is no class of the network: {known}")


def _read(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise click.UsageError(f"{path} is too large for a table of labels.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"{path} cannot be read as a table of labels: {error}. Give a CSV with a file name and "
            f"a label in each row, a JSON object of these, or '{FOLDERS}'."
        ) from error
    table = _from_json(path, text) if path.suffix.lower() == ".json" else _from_csv(path, text)
    short = {PurePosixPath(PureWindowsPath(name).as_posix()).name: v for name, v in table.items()}
    stems = {PurePosixPath(name).stem: label for name, label in short.items()}
    return {**stems, **short, **table}


def _from_json(path: Path, text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{path} is no JSON: {error}.") from error
    if not isinstance(found, dict) or not all(isinstance(v, (str, int)) for v in found.values()):
        raise click.UsageError(f'{path} is no object of labels, such as {{"cat1.jpg": "cat"}}.')
    return {name: str(label) for name, label in found.items()}


def _from_csv(path: Path, text: str) -> dict[str, str]:
    try:
        separator = "\t" if "\t" in text.partition("\n")[0] else ","
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    except csv.Error as error:
        raise click.UsageError(f"{path} is no CSV: {error}.") from error
    if not rows or any(len(row) < 2 for row in rows):
        raise click.UsageError(
            f"{path} is no table of labels: each row has a file name and a label."
        )
    return {row[0].strip(): row[1].strip() for row in rows}
