"""What class a photo is said to be of: by its folder, by a CSV file, or by its source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cbam_viz._places import absolute
from cbam_viz._text import shortened
from cbam_viz.batch.sources.item import Item
from cbam_viz.errors import ImageError, LabelsError
from cbam_viz.labels import names_of, read_labels

AUTO, FOLDER, NONE = "auto", "folder", "none"

Labelled = Callable[[Item], Item]


def labels_by(way: str) -> Labelled:
    """Return what gives an item its label.

    `auto` keeps what the source says, else the folder that a photo lies in below its source;
    `folder` takes that folder in any case; `none` takes labels off; anything else is the path of a
    file of labels, as `cbam_viz.labels` has it; photos are named by their paths, below the source
    or from further above, or by the last parts of these. Raises ImageError for a file that is no
    such table.
    """
    if way == AUTO:
        return lambda item: item if item.label is not None else _by_folder(item)
    if way == FOLDER:
        return _by_folder
    if way == NONE:
        return lambda item: replace(item, label=None)
    try:
        table = read_labels(Path(way))
    except LabelsError as error:
        raise ImageError(str(error)) from error

    bare: dict[str, str] = {}

    def by_file(item: Item) -> Item:
        names = _names(item)
        called = table.called(names)
        if called is not None and "/" not in called:  # by its name alone, which others may have
            place = f"{os.path.realpath(item.path)}#{item.offset}"
            if bare.setdefault(called, place) != place:
                raise ImageError(
                    f"{Path(way).name} has {shortened(called)} without a folder, and several "
                    f"photos have that name, {shortened(item.name)} among them. Say their folders."
                )
        try:
            return replace(item, label=table.of(names))
        except LabelsError as error:
            raise ImageError(str(error)) from error

    return by_file


def _names(item: Item) -> tuple[str, ...]:
    if item.kind != "file":
        return names_of(item.name)
    return (item.name, *names_of(absolute(Path(item.path)).as_posix()))


def any_labelled(items: Iterable[Item], way: str) -> Iterator[Item]:
    """Yield the photos; raise ImageError if a file of labels has none for any of them.

    Photos may go without label, so nothing else would show a table whose columns or names are not
    those that are meant.
    """
    first, found = "", way in (AUTO, FOLDER, NONE)
    for item in items:
        first, found = first or item.name, found or item.label is not None
        yield item
    if first and not found:
        raise ImageError(
            f"{Path(way).name} has no label of any photo. It calls them by their paths below the "
            f"source, or by their names: the first is {shortened(first)}."
        )


def _by_folder(item: Item) -> Item:
    folder = PurePosixPath(item.name).parent.name
    inside = item.kind == "file" or (item.kind == "tar" and folder != Path(item.path).name)
    return replace(item, label=(folder or None) if inside else None)
