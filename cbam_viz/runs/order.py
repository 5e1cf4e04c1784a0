"""Which checkpoints a folder has, and which epoch each is.

The rule, which a run's `run.json` repeats in a sentence:

1. A name says it (`names`): the number behind the word *epoch*, else behind *step* or *iter*, else
   the whole number at its end (`checkpoint-12.pth.tar`, `model_0012.pth`), else before *epoch*.
   Numbers with a point, dates and numbers of other things are left out. What a number without a
   word counts, the newest file says; without a word there either it is an epoch, but for folders
   such as `checkpoint-500`. Names that say several steps of one epoch are ordered by their steps.
2. Of files whose names say none, `epoch` in the file, else its `step` or `iter`.
3. If no file says it in either way, the time at which it was written: 1, 2, 3, ...

Where some say it and others do not, these are left out with that reason; so is a second file of an
epoch, such as the `last.pth` beside `epoch_12.pth`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cbam_viz._text import few, shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.shards import checkpoint_path, checkpoints_in, read_checkpoint
from cbam_viz.runs.names import LARGEST, counts_steps, is_bare, said_by_name, step_in_name
from cbam_viz.runs.record import Rule, Unit

DEPTH = 3
"""How many folders deep checkpoints are looked for."""
Said = Callable[[Path], tuple[int, Unit] | None]
"""What the file at a path says: a number and what it counts. Raises CheckpointError."""


@dataclass(frozen=True)
class File:
    """A checkpoint as it lies in the folder."""

    path: Path
    """A file, or the folder of one."""
    name: str
    size: int
    modified: int
    """In nanoseconds; with the size it says whether the file is still the same."""

    @property
    def mark(self) -> dict[str, Any]:
        """What an epoch remembers of its checkpoint."""
        return {"name": self.name, "size": self.size, "modified": self.modified}


@dataclass(frozen=True)
class LeftOut:
    """A checkpoint that stands for no epoch."""

    file: File
    reason: str
    failed: bool = False
    """Whether it could not be opened or shown; else another one stands for its epoch, or it says
    none."""


@dataclass(frozen=True)
class Ordered:
    """The checkpoints of a folder."""

    epochs: dict[int, File]
    """By number, in order."""
    unit: Unit
    rule: Rule
    left_out: tuple[LeftOut, ...]


def files_in(folder: Path) -> list[File]:
    """The checkpoints directly in a folder, and those that have a folder of their own in it.

    Of folders those count whose names say an epoch or a step, as `checkpoint-500`. Raises
    CheckpointError if the folder cannot be listed.
    """
    try:
        folders = sorted(one for one in folder.iterdir() if one.is_dir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be listed: {error.strerror}.") from error
    paths = [*checkpoints_in(folder), *(one for one in folders if said_by_name(one.name))]
    found = []
    for path in paths:
        try:
            inside = checkpoint_path(path)
            told = inside.stat()
        except (CheckpointError, OSError):
            if path.is_dir():  # of other things
                continue
            found.append(File(path, path.name, 0, 0))  # whoever opens it says what is wrong
        else:
            found.append(File(path, path.name, told.st_size, told.st_mtime_ns))
    return found


def folder_of_checkpoints(folder: Path) -> Path:
    """The folder that holds a training's checkpoints: this one, or the one below that has any.

    ultralytics puts them into `weights`, Lightning into `version_0/checkpoints`. Raises
    CheckpointError if there is none, or several have some.
    """
    if files_in(folder):
        return folder
    below = [one for one in _folders(folder, DEPTH) if files_in(one)]
    if len(below) == 1:
        return below[0]
    if below:
        names = [one.relative_to(folder).as_posix() for one in below]
        raise CheckpointError(
            f"There is no checkpoint in {folder} itself, and several folders below have some: "
            f"{few(names)}. Give one of them."
        )
    raise CheckpointError(
        f"There is no checkpoint in {folder} and no run that a training wrote. Give the folder of "
        "its .safetensors, .pth, .pt or .ckpt files."
    )


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """Those below, to some depth, without hidden ones and links."""
    try:
        inside = sorted(one for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
    except OSError:
        return
    for one in inside:
        if not one.is_symlink():
            yield one
            if depth > 1:
                yield from _folders(one, depth - 1)


def said_by_file(path: Path, first: Unit = "epoch") -> tuple[int, Unit] | None:
    """The number that a checkpoint carries, read without running anything; None if it has none.

    If it has an epoch and a step, that of the unit `first`. Raises CheckpointError if the file
    cannot be read.
    """
    file = read_checkpoint(checkpoint_path(path))
    content = file.content if isinstance(file.content, Mapping) else {}
    meta = content.get("meta")
    places = (content, meta if isinstance(meta, Mapping) else {}, file.metadata)
    names: tuple[tuple[str, Unit], ...] = (
        ("epoch", "epoch"), ("global_step", "step"), ("step", "step"), ("iteration", "step"),
        ("iter", "step"),
    )  # fmt: skip
    for name, unit in sorted(names, key=lambda one: one[1] != first):
        for place in places:
            number = _whole(place.get(name))
            if number is not None:
                return number, unit
    return None


def _whole(value: Any) -> int | None:
    """A number from 0 on; ultralytics writes -1 into what is finished."""
    number = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if isinstance(number, str) and number.isdecimal() and len(number) < 10:
        number = int(number)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return number if is_number and 0 <= number <= LARGEST else None


def ordered(
    files: Sequence[File],
    *,
    known: Mapping[int, Mapping[str, Any]] | None = None,
    earlier: tuple[Rule, Unit] | None = None,
    said: Said | None = None,
) -> Ordered:
    """Give each checkpoint its number by the rule above.

    `known` are the marks of checkpoints that have been measured, by number: those are not read
    again. `earlier` is what an earlier look at the folder came to, which holds. `said` reads a
    file's number, by default `said_by_file`.
    """
    first: Unit = _unit_of_both(files) if earlier is None else earlier[1]
    said = said or partial(said_by_file, first=first)
    bare: Unit = _unit_of_bare(files, said) if earlier is None else earlier[1]
    remembered = {_key(mark): number for number, mark in (known or {}).items()}
    left_out: list[LeftOut] = []
    numbers: dict[str, tuple[int, Unit, Rule]] = {}
    if earlier is None or earlier[0] != "time":
        for file in files:
            try:
                number = _by_name(file, first, bare) or _by_file(file, remembered, earlier, said)
            except CheckpointError as error:
                left_out.append(LeftOut(file, str(error), failed=True))
                continue
            if number is not None:
                numbers[file.name] = number
        if numbers or earlier is not None:
            return _by_number(files, numbers, left_out, earlier)
    failed = {one.file.name for one in left_out}
    return _by_time([one for one in files if one.name not in failed], remembered, left_out)


def _unit_of_both(files: Sequence[File]) -> Unit:
    """By what files are ordered that say an epoch and a step: steps if an epoch has several."""
    steps: defaultdict[int, set[int]] = defaultdict(set)
    for file in files:
        epoch, step = said_by_name(file.name), step_in_name(file.name)
        if epoch is not None and epoch[1] == "epoch" and step is not None:
            steps[epoch[0]].add(step)
    return "step" if any(len(several) > 1 for several in steps.values()) else "epoch"


def _unit_of_bare(files: Sequence[File], said: Said) -> Unit:
    """What numbers without a word count, if no name has a word: the newest that can be read."""
    names = [one.name for one in files]
    if any(said_by_name(one) is not None and not is_bare(one) for one in names):
        return "epoch"
    for file in sorted(files, key=lambda one: one.modified, reverse=True):
        if is_bare(file.name):
            try:
                found = said(file.path)
            except CheckpointError:
                continue  # whoever opens it says what is wrong
            return "epoch" if found is None else found[1]
    return "epoch"


def _by_name(file: File, first: Unit, bare: Unit) -> tuple[int, Unit, Rule] | None:
    """By its name: where that says both, by `first`; where it has no word, it counts `bare`."""
    step = step_in_name(file.name)
    if first == "step" and step is not None:
        return step, "step", "name"
    found = said_by_name(file.name)
    if found is None:
        return None
    number, unit = found
    if is_bare(file.name):
        unit = "step" if counts_steps(file.name) and file.path.is_dir() else bare
    return number, unit, "name"


def _by_file(
    file: File,
    remembered: Mapping[tuple[Any, ...], int],
    earlier: tuple[Rule, Unit] | None,
    said: Said,
) -> tuple[int, Unit, Rule] | None:
    if earlier is not None and _key(file.mark) in remembered:
        return remembered[_key(file.mark)], earlier[1], "file"
    found = said(file.path)
    return None if found is None else (*found, "file")


def _by_number(
    files: Sequence[File],
    numbers: Mapping[str, tuple[int, Unit, Rule]],
    left_out: list[LeftOut],
    earlier: tuple[Rule, Unit] | None,
) -> Ordered:
    units = Counter(unit for _, unit, _ in numbers.values())
    unit: Unit = "step" if units["step"] > units["epoch"] else "epoch"
    if earlier is not None:
        unit = earlier[1]
    failed = {one.file.name for one in left_out}
    epochs: dict[int, File] = {}
    ways: set[Rule] = set() if earlier is None else {earlier[0]}

    def rank(file: File) -> tuple[Any, ...]:
        """Where two are of one epoch, a name that says it counts, and of these the shortest."""
        by_name = file.name in numbers and numbers[file.name][2] == "name"
        return not by_name, len(file.name), file.name

    for file in sorted((one for one in files if one.name not in failed), key=rank):
        if file.name not in numbers:
            left_out.append(LeftOut(file, (
                f"Neither its name nor the file says which {unit} it is, while others say it. Put "
                "the number into its name."
            )))  # fmt: skip
            continue
        number, counted, way = numbers[file.name]
        if counted != unit:
            why = f"It says a number of {counted}s, and the others one of {unit}s."
            left_out.append(LeftOut(file, why))
        elif number in epochs:
            other = shortened(epochs[number].name)
            why = f"It is of {unit} {number} too, which {other} stands for."
            if unit == "epoch" and step_in_name(file.name) != step_in_name(epochs[number].name):
                why += " To have both, measure the run anew by steps, into another folder: --out."
            left_out.append(LeftOut(file, why))
        else:
            epochs[number] = file
            ways.add(way)
    rule: Rule = "both" if len(ways) > 1 else next(iter(ways), "name")
    return Ordered(dict(sorted(epochs.items())), unit, rule, tuple(left_out))


def _by_time(
    files: Sequence[File], remembered: Mapping[tuple[Any, ...], int], left_out: list[LeftOut]
) -> Ordered:
    """New files get the next numbers, so that those which were measured keep theirs."""
    epochs = {remembered[_key(one.mark)]: one for one in files if _key(one.mark) in remembered}
    number = max(remembered.values(), default=0)
    for file in sorted(files, key=lambda one: (one.modified, one.name)):
        if _key(file.mark) not in remembered:
            number += 1
            epochs[number] = file
    return Ordered(dict(sorted(epochs.items())), "epoch", "time", tuple(left_out))


def _key(mark: Mapping[str, Any]) -> tuple[Any, ...]:
    return mark.get("name"), mark.get("size"), mark.get("modified")
