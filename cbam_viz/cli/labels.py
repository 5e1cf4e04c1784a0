"""The true classes of photos: as a file of labels has them, or the folders that they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cbam_viz._places import absolute
from cbam_viz._text import few, quoted
from cbam_viz.errors import LabelsError, MetricError
from cbam_viz.labels import names_alike, read_labels

FOLDERS = "folders"


class Labels:
    """Labels of a run's photos, by file name or by folder."""

    def __init__(self, source: str, photos: Sequence[Path]) -> None:
        """Read a file of labels, else raise click.UsageError; `folders` are the folders' names."""
        self._alike = names_alike(photos)
        try:
            self._table = None if source == FOLDERS else read_labels(Path(source))
        except LabelsError as error:
            raise click.UsageError(f"{error} '{FOLDERS}' takes the names of folders.") from error

    def of(self, path: Path, classes: Sequence[str] | None) -> int:
        """The class of a photo.

        Raises:
            MetricError: it has no label or several, or its label is no class of the network.
        """
        if self._table is None:
            return _labelled(absolute(path).parent.name, classes)
        try:
            label = self._table.of_photo(path, elsewhere=path.name not in self._alike)
        except LabelsError as error:
            raise MetricError(str(error)) from error
        if label is None:
            raise MetricError("it has no label")
        return _labelled(label, classes)


def class_of(text: str, classes: Sequence[str] | None) -> int:
    """The number of a class that was named, or numbered.

    Raises:
        MetricError: the network has no such class.
    """
    found = _number(text, classes)
    if found is None:
        raise MetricError(f"The network has no class {quoted(text)}: {_known(classes)}.")
    return found


def _labelled(label: str, classes: Sequence[str] | None) -> int:
    found = _number(label, classes)
    if found is None:
        raise MetricError(
            f"its label {quoted(label)} is no class of the network: {_known(classes)}"
        )
    return found


def _number(label: str, classes: Sequence[str] | None) -> int | None:
    if classes is not None:
        folded = [name.casefold() for name in classes]
        if label.casefold() in folded:
            return folded.index(label.casefold())
    if label.isdecimal() and len(label) < 9:
        number = int(label)
        if classes is None or number < len(classes):
            return number
    return None


def _known(classes: Sequence[str] | None) -> str:
    return f"the classes are {few(classes)}" if classes else "the names of classes are not known"
