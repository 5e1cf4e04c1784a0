"""What photos are labelled, in a file: one reader for all commands that take such a file."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from cbam_viz._places import absolute
from cbam_viz._text import few, shortened
from cbam_viz.errors import LabelsError

MAX_BYTES = 64 * 1024**2
MAX_ROWS = 1_500_000
"""As many as fit into a gigabyte with their names; ImageNet's list has 1,281,167."""
NAME_COLUMNS = ("file", "filename", "file_name", "name", "path", "image", "photo", "id")
"""What a first line may call the column of photos, the surest first."""
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target")
"""What it may call the column of labels."""
_TAKES = "It takes a line photo,class for each photo, or a JSON object of photos and classes"
_BARE = re.compile(r"(.+?\.\w{2,5}|\S+)\s+(\S.*)")
"""`photo 1.jpg cat`, as Caffe's lists have it: the photo ends with its ending."""

Rows = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class LabelTable:
    """The labels in one file."""

    file: Path
    exact: dict[str, tuple[str, ...]]
    """By a photo's name as the file has it, `/` between folders. Two labels are one too many, but
    only for who asks for that photo."""

    @cached_property
    def short(self) -> dict[str, tuple[str, ...]]:
        """By the last part of that name, and by that part without its ending."""
        found: dict[str, tuple[str, ...]] = {}
        for name, labels in self.exact.items():
            last = name.rpartition("/")[2]
            for key in (last, last.rpartition(".")[0]):
                if key and key != name:
                    _add(found, key, labels)
        return found

    def of(self, names: Sequence[str], *, elsewhere: bool = False) -> str | None:
        """The label of a photo that may be called by any of `names`, the surest first.

        With `elsewhere` also where the file has it in another folder or with another ending. None
        if it has no label; raises LabelsError if it has several.
        """
        every = [_name(name) for name in names]
        found = self.exact.get(self.called(names) or "", ())
        if not found and elsewhere:
            found = next((self.short[name] for name in every if name in self.short), ())
        if len(found) > 1:
            photo = shortened(PurePosixPath(every[0]).name)
            raise LabelsError(f"{self.file.name} gives {photo} several classes: {few(found)}.")
        return found[0] if found else None

    def called(self, names: Sequence[str]) -> str | None:
        """The first of `names` that the file has, as it has it; None if it has none of them."""
        return next((name for name in map(_name, names) if name in self.exact), None)

    def of_photo(self, photo: Path, *, elsewhere: bool) -> str | None:
        """The label of a photo on disk: named from the file's folder, by its path or its name.

        `elsewhere`, returned value and errors as those of `of`.
        """
        folder, whole = self.file.parent, absolute(photo)
        inside = [
            path.relative_to(base).as_posix()
            for path, base in ((whole, absolute(folder)), (photo.resolve(), folder.resolve()))
            if path.is_relative_to(base)
        ]
        names = (*inside, photo.as_posix(), *names_of(whole.as_posix()))
        return self.of(names, elsewhere=elsewhere)


def names_alike(photos: Iterable[Path]) -> frozenset[str]:
    """The names that several photos have, so that the name alone does not say which is meant."""
    counts = Counter(photo.name for photo in photos)
    return frozenset(name for name, count in counts.items() if count > 1)


def names_of(path: str) -> tuple[str, ...]:
    """How a file may call the photo at a path with `/`: by as many folders as it likes, or none,
    and without its ending.
    """
    whole, bare = PurePosixPath(path), PurePosixPath(path).with_suffix("")
    return tuple(
        PurePosixPath(*one.parts[n:]).as_posix()
        for one in (whole, bare)
        for n in range(len(one.parts))
    )


def read_labels(file: Path) -> LabelTable:
    """Read a file of labels: CSV, also with tabs, semicolons or blanks between, or a JSON object.

    A first line that names columns (`file,label`) says which they are; the label of a photo may
    then be empty, which is none. Lines without a heading are photo and class.

    Raises:
        LabelsError: it cannot be read, is too large or is no such table.
    """
    text = _text(file)
    if file.suffix.lower() == ".json" or text.lstrip()[:1] == "{":
        return _table(file, _json(file, text))
    if separator := re.match(r"sep=.\s*\n", text, re.IGNORECASE):  # Excel's hint to itself
        text = text[separator.end() :]
    lines = io.StringIO(text, newline=None)  # whatever ends a line
    first = next((line for line in lines if line.strip()), "")
    lines.seek(0)
    delimiter = _delimiter(first)
    cells = csv.reader(lines, delimiter=delimiter) if delimiter else map(_parted, lines)
    try:
        columns = _columns(file, next(csv.reader([first], delimiter=delimiter or ","), []))
        return _table(file, _lines(file, cells, columns))
    except csv.Error as error:
        raise LabelsError(f"{file.name} is no CSV: {error}.") from error


def _table(file: Path, rows: Rows) -> LabelTable:
    exact: dict[str, tuple[str, ...]] = {}
    kept: dict[str, tuple[str, ...]] = {}  # equal labels are one object, however many rows
    for count, (name, label) in enumerate(rows):
        if count == MAX_ROWS:
            raise LabelsError(f"{file.name} has more than {MAX_ROWS:,} rows. Give fewer photos.")
        _add(exact, name, kept.setdefault(label, (label,)))
    return LabelTable(file, exact)


def _add(table: dict[str, tuple[str, ...]], name: str, labels: tuple[str, ...]) -> None:
    known = table.setdefault(name, labels)
    if known is not labels:
        table[name] = tuple(dict.fromkeys((*known, *labels)))


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise LabelsError(
                f"{file.name} is too large for a table of labels: the most is {MAX_BYTES >> 20} MB."
            )
        data = file.read_bytes()
    except OSError as error:
        raise LabelsError(
            f"{file} cannot be read as a table of labels: {error.strerror}. {_TAKES}."
        ) from error
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Excel saves "Unicode text"
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelsError(
            f"{file.name} is no text in UTF-8 or UTF-16, and in another encoding names would be "
            "guessed. Save it as UTF-8."
        ) from error


def _json(file: Path, text: str) -> Rows:
    pairs: list[tuple[str, object]] = []

    def outermost(found: list[tuple[str, object]]) -> dict[str, object]:
        pairs[:] = found  # the last object that ends is the outermost; twice the same name is kept
        return dict(found)

    try:
        whole = json.loads(text, object_pairs_hook=outermost)
    except (ValueError, RecursionError) as error:
        raise LabelsError(f"{file.name} is no JSON: {shortened(str(error))}.") from error
    if not isinstance(whole, dict) or not all(_is_label(label) for _, label in pairs):
        raise LabelsError(f'{file.name} is no object of labels, such as {{"cat1.jpg": "cat"}}.')
    for name, label in pairs:
        yield _name(name), str(label)


def _is_label(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _lines(file: Path, rows: Iterable[list[str]], columns: tuple[int, int] | None) -> Rows:
    """Yield photos and labels; with `columns` the first row names them, and a label may be none."""
    heading = columns is not None
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if heading:
            heading = False
            continue
        name, label = (cells[n] if n < len(cells) else "" for n in columns or (0, 1))
        if name and label:
            yield _name(name), label
        elif columns is None or not name:
            raise LabelsError(
                f"Line {number} of {file.name} is no photo and class, such as cat1.jpg,cat."
            )


def _delimiter(line: str) -> str:
    """What separates the cells of a line: a tab, else what comes first outside of quotes."""
    if "\t" in line:
        return "\t"
    found = re.search("[,;|]", re.sub('"[^"]*"', "", line))
    return found[0] if found else ""


def _parted(line: str) -> list[str]:
    found = _BARE.fullmatch(line.strip())
    return [line] if found is None else list(found.groups())


def _columns(file: Path, cells: Sequence[str]) -> tuple[int, int] | None:
    """The places of photos and labels, if the cells of the first line name columns."""
    there = {cell.lower(): place for place, cell in reversed([*enumerate(cells)])}
    name = next((there[one] for one in NAME_COLUMNS if one in there), None)
    label = next((there[one] for one in LABEL_COLUMNS if one in there), None)
    if name is None and label is not None and len(cells) == 2 and "." not in cells[1 - label]:
        return 1 - label, label
    if name is None or (label is None and name > 0):
        return None
    if label is None and len(cells) > 2:
        raise LabelsError(
            f"{file.name} names its columns ({few(cells)}), but none of labels: call one of them "
            f"{' or '.join(LABEL_COLUMNS[:2])}."
        )
    return name, 1 if label is None else label


def _name(text: str) -> str:
    """A photo's name as tables are searched: signs composed, as some systems write them apart."""
    plain = text.strip().replace("\\", "/").removeprefix("./")
    return plain if plain.isascii() else unicodedata.normalize("NFC", plain)
