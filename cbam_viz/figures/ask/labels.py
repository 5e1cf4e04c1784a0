"""Classes of photos as they are labelled: by their folders, or by a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cbam_viz._places import absolute
from cbam_viz._text import few
from cbam_viz.errors import FigureError, LabelsError
from cbam_viz.labels import names_alike, read_labels


def classes_by_folder(photos: Sequence[Path]) -> list[str]:
    """The name of the folder that each photo lies in; where links stand, that of the link."""
    return [absolute(path).parent.name for path in photos]


def classes_by_file(photos: Sequence[Path], file: Path) -> list[str]:
    """The class of each photo in a file of labels, as `cbam_viz.labels` reads them.

    A photo is named by its path from the file's folder, or by its name alone.

    Raises:
        FigureError: if the file cannot be read, has no class of a photo, or two.
    """
    alike = names_alike(photos)
    try:
        table = read_labels(file)
        found = [table.of_photo(path, elsewhere=path.name not in alike) for path in photos]
    except LabelsError as error:
        raise FigureError(str(error)) from error
    missing = [path.name for path, label in zip(photos, found, strict=True) if label is None]
    if missing:
        raise FigureError(
            f"{file.name} has no class for {few(missing, shown=3)}. It takes a line "
            "photo,class for each photo."
        )
    return [label for label in found if label is not None]
