"""A folder of checkpoints, measured epoch by epoch on fixed probe photos.

What has been measured is not measured again: an epoch remembers the name, size and time of its
checkpoint. So a training that still goes on can be watched as often as one likes, and a run whose
early checkpoints are gone keeps what was measured of them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cbam_viz.analysis import Analysis, analyse
from cbam_viz.batch.lock import locked
from cbam_viz.batch.settings import refuse_other
from cbam_viz.errors import CbamVizError, CheckpointError, NoAttentionError, StoreError
from cbam_viz.images import DEFAULT_VIEW, Photo, View
from cbam_viz.images.spec import CropMode
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import input_of
from cbam_viz.runs.order import File, LeftOut, Ordered, files_in, ordered
from cbam_viz.runs.reading import measured, read_source
from cbam_viz.runs.record import (
    EPOCHS,
    MOST_PROBES,
    PHOTOS,
    RUN,
    Measured,
    Record,
    layout_of,
    make_folders,
    misfit,
    order_of,
    probe_of,
    read_record,
    write_epoch,
    write_pictures,
    write_record,
)
from cbam_viz.store.files import write_atomic

LEFT_OUT = "left_out.csv"

Open = Callable[[Path], LoadedModel]
"""Opens a checkpoint; what is wrong with it is a CbamVizError."""


@dataclass(frozen=True)
class Watched:
    """What came of watching a folder once."""

    folder: Path
    """Of the run."""
    before: int
    """Epochs that earlier calls had measured."""
    done: int
    """That this one measured."""
    left_out: tuple[LeftOut, ...]
    """Checkpoints that stand for no epoch, with the reason."""
    order: str
    """Where the numbers of epochs come from, in a sentence."""


def watch_checkpoints(
    checkpoints: str | Path,
    folder: str | Path,
    photos: Sequence[Photo],
    open_checkpoint: Open,
    *,
    view: View = DEFAULT_VIEW,
    made_with: Mapping[str, str] | None = None,
    tick: Callable[[str], None] = lambda _: None,
    total: Callable[[int], None] = lambda _: None,
) -> Watched:
    """Measure each checkpoint of a folder on the photos, or go on with what is not measured yet.

    Every photo goes through the network alone, so that no other changes its gates by rounding, in
    an input of one size for all (`fed_alike`).
    `made_with` says what else must be the same for a run to go on, such as options; `total` is told
    how many checkpoints are to be measured, `tick` each one's name when it is done.

    Raises:
        CheckpointError: the folder has no checkpoint, or none that can be shown: the first reason.
        StoreError: the run was begun with other photos or options, is in use, or cannot be written.
    """
    source, out = Path(checkpoints), Path(folder)
    if not 1 <= len(photos) <= MOST_PROBES:
        raise StoreError(
            f"A run is watched on 1 to {MOST_PROBES} probe photos, not {len(photos)}: each is kept "
            "at every epoch. Choose some that show what the network is for."
        )
    found = [one for one in files_in(source) if one.path.resolve() != out.resolve()]
    if not found:
        raise CheckpointError(
            f"There is no checkpoint in {source}. Give the folder of a training's .safetensors, "
            ".pth, .pt or .ckpt files."
        )
    wanted = {**_made_with(photos, view), **(made_with or {})}
    _refuse_foreign(out)
    make_folders(out)
    with locked(out, "", lambda: _clean(out)):
        known = read_record(out)
        if known is not None:
            if known.made_by != "checkpoints":
                raise StoreError(
                    f"{out} was written by a training itself. Give another place for what is "
                    "measured of its checkpoints: --out FOLDER."
                )
            refuse_other(out, known.made_with, wanted)
            write_pictures(out, known, photos)
        work = _Work(out, photos, view, open_checkpoint, wanted, known)
        return work.follow(found, tick, total)


def fed_alike(loaded: LoadedModel, photos: Sequence[Photo], view: View) -> LoadedModel:
    """The network, fed so that the inputs of all photos have one size, and with them its maps.

    That is as it is fed, but for photos of several shapes where it takes rectangles, as YOLO's do,
    or the whole of each: then all are fitted into an input of its own size, with borders. Raises
    ImageError for photos of other channels than it takes.
    """
    spec = loaded.spec
    if loaded.transform is not None or not spec.varies(view):
        return loaded
    if len({input_of(loaded, one, view).geometry.input_size for one in photos}) == 1:
        return loaded
    mode: CropMode = "letterbox" if spec.crop_mode == "rectangle" else spec.crop_mode
    return replace(loaded, spec=replace(spec, crop_mode=mode, fixed_size=True))


@dataclass
class _Work:
    """One call at work."""

    out: Path
    photos: Sequence[Photo]
    view: View
    open: Open
    made_with: dict[str, str]
    record: Record | None
    gateless: set[str] = field(default_factory=set)
    """Names of files whose networks have no gates."""

    def follow(
        self, found: Sequence[File], tick: Callable[[str], None], total: Callable[[int], None]
    ) -> Watched:
        there = {n: read_source(self.out, n) for n in measured(self.out)}
        known = {number: mark for number, mark in there.items() if mark is not None}
        before, failed, done = len(known), dict[str, LeftOut](), 0
        while True:
            earlier = None if self.record is None else (self.record.rule, self.record.unit)
            rest = [one for one in found if one.name not in failed]
            order = ordered(rest, known=known, earlier=earlier)
            todo = {
                number: file
                for number, file in order.epochs.items()
                if number not in known or not _is_of(known[number], file)
            }
            if not todo:
                break
            total(done + len(failed) + len(todo))
            for number, file in todo.items():
                why = self._measure(number, file, order)
                tick(file.name)
                if why:  # then another file of this epoch, if there is one, stands for it
                    failed[file.name] = LeftOut(file, why, True)
                else:
                    before -= number in known
                    known[number] = file.mark
                    done += 1
        left_out = sorted((*failed.values(), *order.left_out), key=lambda one: one.file.name)
        if not known:
            told = (
                "The one checkpoint cannot be shown:"
                if len(found) == 1
                else f"None of {len(found)} checkpoints can be shown. The first,"
            )
            first = left_out[0]
            gateless = self.gateless == {one.file.name for one in left_out}
            raise (NoAttentionError if gateless else CheckpointError)(
                f"{told} {first.file.name}: {first.reason}"
            )
        if self.record is not None and order.rule != self.record.rule:
            write_record(self.out, replace(self.record, rule=order.rule))
        _write_left_out(self.out, left_out)
        sentence = order_of(order.unit, order.rule)
        return Watched(self.out, before, done, tuple(left_out), sentence)

    def _measure(self, number: int, file: File, order: Ordered) -> str:
        """Measure one epoch and write its file; return why that is not possible, else nothing."""
        try:
            loaded = fed_alike(self.open(file.path), self.photos, self.view)
            found = [analyse(loaded, photo, self.view) for photo in self.photos]
            record = self.record or self._begin(found, loaded, order)
            reason = misfit(record.layout, found[0].attention) or _fed_otherwise(record, loaded)
            if reason:
                return f"It is no checkpoint of the same training: {reason}."
            attentions = tuple(one.attention for one in found)
            for attention in attentions[1:]:
                if reason := misfit(record.layout, attention):
                    return f"Its photos took different ways through the network: {reason}."
        except StoreError:
            raise
        except NoAttentionError as error:
            self.gateless.add(file.name)
            return error.reason
        except (CbamVizError, MemoryError) as error:
            return str(error) or "There was not enough memory for it."
        mark = {**file.mark, "sha256": loaded.sha256 or ""}
        geometries = tuple(one.geometry for one in found)
        if self.record is None:
            write_record(self.out, record)
            write_pictures(self.out, record, self.photos)
            self.record = record
        write_epoch(self.out, record, number, Measured(attentions, geometries, mark))
        return ""

    def _begin(self, found: Sequence[Analysis], loaded: LoadedModel, order: Ordered) -> Record:
        """What the run says of itself, by what the network gave for the first checkpoint."""
        own = loaded.transform is not None
        return Record(
            made_by="checkpoints",
            unit=order.unit,
            rule=order.rule,
            model=type(loaded.model).__name__,
            probes=tuple(
                probe_of(n, photo.name, photo.sha256) for n, photo in enumerate(self.photos)
            ),
            layout=layout_of(found[0].attention),
            view=self.view,
            spec=None if own else loaded.spec,
            pipeline=found[0].pipeline,
            made_with=self.made_with,
        )


def _made_with(photos: Sequence[Photo], view: View) -> dict[str, str]:
    told = [(one.sha256, one.window, one.index) for one in photos]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    return {"probe photos": digest, "view": view}


def _fed_otherwise(record: Record, loaded: LoadedModel) -> str:
    """How a later checkpoint is fed otherwise than the first; what says so may differ."""
    if record.spec is None or loaded.transform is not None:
        return ""
    first, now = ({**asdict(one), "origin": None} for one in (record.spec, loaded.spec))
    differing = [name for name in first if first[name] != now[name]]
    return f"its input differs from the first one's ({', '.join(differing)})" if differing else ""


def _is_of(mark: Mapping[str, Any], file: File) -> bool:
    return all(mark.get(key) == value for key, value in file.mark.items())


def _write_left_out(out: Path, left_out: Sequence[LeftOut]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("checkpoint", "failed", "reason"))
    for one in left_out:
        writer.writerow((one.file.name, "yes" if one.failed else "no", one.reason))
    write_atomic(out / LEFT_OUT, text.getvalue().encode(), force=True)


def _refuse_foreign(out: Path) -> None:
    """Raise StoreError for a file, or a folder of other things."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file. Give the name of a folder for the run.")
    if not out.is_dir() or (out / RUN).exists() or (out / LEFT_OUT).exists():
        return
    others = [one.name for one in out.iterdir() if one.name[0] != "." and not _is_empty(one)]
    if others:
        raise StoreError(
            f"{out} holds other things ({others[0]}) and no run. Give a new or empty folder: --out."
        )


def _is_empty(path: Path) -> bool:
    """Whether it is a folder with nothing in it, as a call that was killed leaves."""
    return path.name in (EPOCHS, PHOTOS) and path.is_dir() and not any(path.iterdir())


def _clean(out: Path) -> None:
    """Remove what a killed call was writing."""
    for path in [*out.glob(".*.part"), *out.glob("*/.*.part")]:
        with suppress(OSError):
            path.unlink()
