"""Every photo of some sources, one after the other: nothing is read but names and labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path, PurePath

from cbam_viz._places import absolute
from cbam_viz._suffixes import is_photo_name
from cbam_viz._text import shortened
from cbam_viz.batch.sources.files import can_be_a_path, folder_of, is_no_file, matches, walk
from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.labels import AUTO, Labelled, any_labelled, labels_by
from cbam_viz.batch.sources.tables import (
    Columns,
    is_arrow,
    is_saved_dataset,
    is_table,
    photos_in_arrow,
    photos_in_dataset,
    photos_in_parquet,
)
from cbam_viz.batch.sources.tars import is_tar, photos_in_tar
from cbam_viz.errors import ImageError

LIST = ".txt"
"""Ending of a list of files."""


def photos_of(
    sources: Sequence[str],
    labels: str = AUTO,
    columns: Columns = Columns(),  # noqa: B008  # frozen
    *,
    leave_out: Callable[[Path], bool] = lambda _: False,
) -> Iterator[Item]:
    """Yield the photos of all sources in an order that depends on their names alone.

    A source is an image, a folder, a pattern, a list of files (`.txt`, a line each), a tar archive
    (`.tar`), a Parquet or Arrow file or a Hugging Face dataset on disk. A folder without images
    counts for the archives and tables in it, a pattern without files for its folders. Names are
    paths below the source (of a pattern, below the last folder before its first wildcard; of a
    list, as they stand there, or below the folder that holds all its files if lines lead out of its
    own), with the source's own name before them if there are several; a photo that two sources hold
    is taken once. `leave_out` says of files which are not meant.

    Raises:
        ImageError: a source that names nothing, or cannot be read; labels of no photo.
    """
    yield from any_labelled(_all(sources, labels_by(labels), columns, leave_out), labels)


def _all(
    sources: Sequence[str],
    labelled: Labelled,
    columns: Columns,
    leave_out: Callable[[Path], bool],
) -> Iterator[Item]:
    several = len(sources) > 1
    alone = several and all(map(_is_photo, sources))  # as the shell expands a pattern
    seen: set[bytes] = set()
    for source, called in zip(sources, _called(sources, alone), strict=True):
        items = iter([Item(called, "file", source)]) if alone else _expanded(source, columns)
        if several and not alone:
            items = _within(called, source, items)
        for item in map(labelled, items):
            if leave_out(Path(item.path)):
                continue
            if not several:
                yield item
            elif (mark := _mark(item)) not in seen:
                seen.add(mark)
                yield item


def _is_photo(source: str) -> bool:
    return is_photo_name(source) and can_be_a_path(Path(source)) and Path(source).is_file()


def _called(sources: Sequence[str], alone: bool) -> list[str]:
    """Sources by their names, with as many folders before them as tell them apart; photos alone
    by their paths below the folder that holds them all.
    """
    paths = [absolute(Path(source)).parts for source in sources]
    if alone:
        above = len(Path(os.path.commonpath([Path(*parts[:-1]) for parts in paths])).parts)
        return ["/".join(parts[above:]) for parts in paths]
    for count in range(1, max(map(len, paths))):
        names = ["/".join(parts[-count:]) for parts in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return [Path(source).name for source in sources]


def _within(called: str, source: str, items: Iterable[Item]) -> Iterator[Item]:
    """The photos of one source of several, by its name and theirs; that of a file is in theirs."""
    path = Path(source)
    if path.is_file() and path.suffix.lower() != LIST:
        above = called.removesuffix(path.name).rstrip("/")
        return _below(above, items) if above else iter(items)
    return _below(called, items)


def _mark(item: Item) -> bytes:
    """Of the place where a photo lies; short, as there may be millions."""
    place = f"{os.path.realpath(item.path)}\n{item.offset}"
    return blake2b(place.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _expanded(source: str, columns: Columns) -> Iterator[Item]:
    path = Path(source)
    if not can_be_a_path(path):
        raise ImageError(f"{source[:40]}… is too long for the name of a file.")
    if path.is_dir():
        yield from _folder(path, columns)
        return
    if path.is_file() and path.suffix.lower() == LIST:
        base = _base_of(path)
        for line in lines_of(path):
            file = _file_of(path, line)
            name = PurePath(line) if base is None else Path(os.path.relpath(file, base))
            yield from _file(file, name.as_posix(), columns)
        return
    if path.is_file():
        yield from _file(path, path.name, columns)
        return
    if is_no_file(path):
        raise ImageError(
            f"{source} is a pipe or a device, and photos are read by their place in a file. Write "
            "what comes out of it to a file; a list's name ends in .txt."
        )
    files, above = matches(source), folder_of(source)
    if not files:
        raise ImageError(
            f"There is no file, folder or match of pattern {source!r}. Check the path, and put "
            "patterns in quotes."
        )
    for file in files:
        inside = file.relative_to(above).as_posix()
        if file.is_dir():
            yield from _below(inside, _folder(file, columns))
        else:
            yield from _file(file, inside, columns)


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a list that say something. Raises ImageError if it is no text."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            yield from (line.rstrip("\r\n") for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"The list {path} cannot be read: {error}.") from error


def _base_of(path: Path) -> Path | None:
    """The folder that names are told from where lines of a list lead out of its own folder.

    It is the one that holds all files, or its parent if they all lie in it, as that is their class.
    None for a list whose lines do not lead out of it: their names are what they say.
    """
    if not any(PurePath(line).is_absolute() or ".." in Path(line).parts for line in lines_of(path)):
        return None
    common, apart = "", False
    for line in lines_of(path):
        folder = str(Path(os.path.abspath(_file_of(path, line))).parent)  # noqa: PTH100  links stay
        if common and folder != common:
            common, apart = os.path.commonpath([common, folder]), True
        common = common or folder
    return Path(common) if apart else Path(common).parent


def _file_of(path: Path, line: str) -> Path:
    """The file that a line of a list names: beside the list, or as it stands."""
    near = path.parent / line
    file = near if can_be_a_path(near) and near.is_file() else Path(line)
    if not can_be_a_path(file) or not file.is_file():
        folder = can_be_a_path(near) and near.is_dir()
        what = "which is a folder: a list is of files" if folder else "and there is no such file"
        if not folder and any(can_be_a_path(one) and is_no_file(one) for one in (near, file)):
            what = "which is a pipe or a device: a list is of files"
        raise ImageError(f"The list {path} names {shortened(line)}, {what}.")
    return file


def _folder(folder: Path, columns: Columns) -> Iterator[Item]:
    if is_saved_dataset(folder):
        yield from _without_prefix(photos_in_dataset(folder, "", columns))
        return
    for kind in (is_photo_name, _is_container):
        found = False
        for file in walk(folder, kind):
            found = True
            yield from _file(file, file.relative_to(folder).as_posix(), columns)
        if found:
            return
    raise ImageError(f"The folder {folder} holds no images, no .tar, no .parquet and no .arrow.")


def _is_container(name: str) -> bool:
    return is_tar(name) or is_table(name)


def _file(file: Path, name: str, columns: Columns) -> Iterator[Item]:
    if is_tar(file.name):
        yield from photos_in_tar(file, name)
    elif is_arrow(file.name):
        yield from photos_in_arrow(file, name, columns)
    elif is_table(file.name):
        yield from photos_in_parquet(file, name, columns)
    else:
        yield Item(name, "file", str(file))


def _below(folder: str, items: Iterable[Item]) -> Iterator[Item]:
    return (replace(item, name=f"{folder}/{item.name}") for item in items)


def _without_prefix(items: Iterable[Item]) -> Iterator[Item]:
    return (replace(item, name=item.name.removeprefix("/")) for item in items)
