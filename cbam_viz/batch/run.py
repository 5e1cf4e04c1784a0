"""The run from sources to a store: plan, first photo, shards, and what is told of them.

A run may end at any moment, by kill -9 too: a shard's file is there as a whole or not at all, and
the same call goes on with the shards that are missing. What it writes then is the same, bit for
bit, as photos go through the network in the same groups, with one thread, and nothing in the store
tells the time.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from cbam_viz._text import counted, shortened
from cbam_viz.analysis import Analysis, analyse_inputs
from cbam_viz.batch.asking import asks_for_values
from cbam_viz.batch.cluster import Cluster, connected, run_on_ray
from cbam_viz.batch.drafting import measure_draft
from cbam_viz.batch.fast import Effect, computing, faster, first_of
from cbam_viz.batch.finding import furthest
from cbam_viz.batch.lock import LOCK, locked
from cbam_viz.batch.looking import DRAFT, Looker, Prepared, first_photos
from cbam_viz.batch.machine import can_fork, cores, exactly_on
from cbam_viz.batch.plan import Plan, write_plan
from cbam_viz.batch.record import (
    FAILED,
    GATES,
    ONE_SIZE,
    PLAN,
    STORE,
    SUMMARIES,
    Record,
    gates_of,
    new_record,
    output_of,
    read_record,
    write_record,
)
from cbam_viz.batch.reporter import Reporter
from cbam_viz.batch.settings import (
    LARGEST,
    Part,
    Settings,
    batch_size,
    fingerprint,
    refuse_other,
    shard_size,
)
from cbam_viz.batch.shard import ShardResult, Work, read_result
from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.listing import photos_of
from cbam_viz.batch.workers import run_shards
from cbam_viz.errors import CbamVizError, StoreError
from cbam_viz.models import LoadedModel
from cbam_viz.store.files import write_atomic
from cbam_viz.store.shards import too_far, unfit

Engine = Literal["processes", "ray"]
"""What runs the shards: processes of this machine, or tasks on a Ray cluster."""

ROUNDING = 1e-5
"""How far gates of photos that go together may be from those of photos alone."""


@dataclass(frozen=True)
class Summary:
    """What came of a run."""

    store: Path
    photos: int
    """In the plan, of all parts."""
    done_before: int
    """Of this part, by earlier runs."""
    done: int
    """By this run."""
    failed: int
    """Photos of this part that are not in the store; `failed.csv` and the shards say why."""
    complete: bool
    """Whether all shards of all parts are there."""
    seconds: float
    """That the shards took, without what comes before the first."""
    bytes: int
    """Of all shards that are there."""


def run_batch(
    loaded: LoadedModel,
    sources: Sequence[str],
    store: str | Path,
    settings: Settings,
    *,
    part: Part = Part(),  # noqa: B008  # frozen
    engine: Engine = "processes",
    ray_address: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    retry: bool = False,
    code: str | None = None,
    reopen: Callable[[], LoadedModel] | None = None,
    reporter: Reporter | None = None,
) -> Summary:
    """Capture the gates of every photo of the sources into a store, or go on with one.

    The network is moved to the device that is used. `workers` are processes (default: one for each
    core, one alone on a GPU or where `reopen` is needed and missing), `threads` read photos ahead
    in each of them (default: none, one for each core with a GPU). `retry` takes the shards again
    in which photos failed. `code` names the network's own code for the fingerprint; `reopen`
    opens the network where processes cannot inherit it.

    With the engine `ray`, shards are tasks on the cluster at `ray_address` (default: that of the
    environment's RAY_ADDRESS, else one of this machine alone), which see photos and store under the
    same paths; `workers` is then how many run at a time. The store is the same, bit for bit.

    Raises:
        ImageError: a source cannot be listed, or none of its photos be read.
        StoreError: the store was made with something else, is in use, or cannot be written.
        CbamVizError: the network cannot be shown photos, or differs by more than it may with a
            `fast` way; Ray is missing or cannot be reached.
    """
    out, reporter = Path(store), reporter or Reporter()
    _refuse_foreign(out)
    device = _device(settings)
    with ExitStack() as stack:
        cluster = None
        if engine == "ray":
            cluster = stack.enter_context(connected(ray_address, workers, device.type))
        try:
            (out / GATES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The folder {out} cannot be made: {error.strerror}.") from error
        stack.enter_context(locked(out, part.name, lambda: _clean(out)))
        stack.enter_context(exactly_on(device.type))
        loaded.model.to(device)
        on_gpu = device.type == "cuda"
        batch = batch_size(settings, loaded.spec, device.type)
        ahead = (cores() if on_gpu else 0) if threads is None else threads
        looker = Looker(loaded, settings, batch, ahead)
        made_with = {**fingerprint(settings, loaded, code), "device": device.type}
        known = read_record(out)

        def check(digest: str) -> None:
            made_with["photos and labels"] = digest
            if known is not None:
                _refuse_other(out, known, made_with, settings.batch)

        plan = write_plan(_items(sources, settings, out), out / PLAN, check)
        record = known or _new_record(plan, looker, made_with, list(sources), reporter)
        looker = replace(looker, batch=record.batch)
        if ways := computing(settings.fast):
            if record.layout.varying:
                raise StoreError(
                    f"--fast {' and '.join(ways)} is for inputs of one size, and those of this run "
                    f"vary. Leave it out, or take others: {ONE_SIZE}."
                )
            looker, effect = faster(looker, plan.all_items())
            reporter.say(_told(effect))
        if DRAFT in settings.fast:
            reporter.say(measure_draft(looker, plan.all_items()).told)
        if known is None:  # last, so that what was refused leaves no store
            write_record(out, record)
        work = Work(out, record, plan, looker, reopen)
        return _follow(
            work,
            part,
            cluster=cluster,
            workers=1 if on_gpu else workers,
            retry=retry,
            reporter=reporter,
        )


def _device(settings: Settings) -> torch.device:
    """Where the network runs, such as "cuda:1". Raises CbamVizError if that is not there."""
    device = torch.device(settings.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        which = "" if device.index is None else f" of number {device.index}"
        raise CbamVizError(
            f"There is no GPU{which} that torch can use. Choose the device cpu, or install torch "
            "for CUDA and a driver."
        )
    return device


def _items(sources: Sequence[str], settings: Settings, out: Path) -> Iterator[Item]:
    """All photos of the sources, but for what lies in the store, should it be among them."""
    place = Path(os.path.realpath(out))
    if not any(Path(os.path.realpath(source)) in place.parents for source in sources):
        return photos_of(sources, settings.labels, settings.columns)

    def inside(path: Path) -> bool:
        return place in Path(os.path.realpath(path)).parents

    return photos_of(sources, settings.labels, settings.columns, leave_out=inside)


def _refuse_other(out: Path, known: Record, made_with: dict[str, str], batch: int | None) -> None:
    size = {"batch size": str(known.batch)}
    refuse_other(
        out,
        {**known.fingerprint, **size},
        {**made_with, **(size if batch is None else {"batch size": str(batch)})},
    )


def _new_record(
    plan: Plan,
    looker: Looker,
    made_with: dict[str, str],
    sources: list[str],
    reporter: Reporter,
) -> Record:
    """What the store says of itself, by what the network gives for the first photos."""
    size = shard_size(plan.count)
    if looker.settings.batch is None:  # no more than there are in a shard
        looker = replace(looker, batch=min(looker.batch, size))
    photos = first_photos(looker, plan.all_items(), 2)
    probe = analyse_inputs(looker.loaded, photos[:1])[0]
    batch = _together(looker, photos, probe, reporter)
    record = new_record(
        probe,
        made_with,
        photos=plan.count,
        shard_size=size,
        batch=batch,
        precision=looker.settings.precision,
        sources=sources,
    )
    gates = gates_of(probe.attention)
    if reason := unfit(record.layout, gates) or too_far(record.layout, gates):
        raise StoreError(f"The gates of this network have no columns: {reason}.")
    return record


def _together(looker: Looker, photos: list[Prepared], probe: Analysis, reporter: Reporter) -> int:
    """How many photos may share a forward: one, where they would change each other's gates."""
    batch = min(looker.batch, LARGEST)
    same = [one for one in photos if one[1].tensor.shape == photos[0][1].tensor.shape]
    output = probe.attention.output
    if batch == 1 or not isinstance(output, torch.Tensor) or output.shape[:1] != (1,):
        return 1
    if asks_for_values(looker.loaded, photos[0][1], looker.settings.view):
        reporter.say(
            "Photos go through this network one at a time: its code asks for values of a tensor, "
            "and might take another way for photos together than for each of them."
        )
        return 1
    both = (same * 2)[:2]
    try:
        shared = analyse_inputs(looker.loaded, both)
        alone = [probe, analyse_inputs(looker.loaded, both[1:])[0]]
    except CbamVizError:
        return 1
    apart = max(map(difference, alone, shared))
    if apart <= ROUNDING:
        return batch
    reporter.say(
        f"Photos go through this network one at a time: two together changed a gate by {apart:.2g}."
    )
    return 1


def difference(one: Analysis, other: Analysis) -> float:
    """The largest difference of any gate, and of the output in parts of its largest value if that
    is beyond 1; infinite if they do not correspond.
    """
    first, second = gates_of(one.attention), gates_of(other.attention)
    if {key: gate.shape for key, gate in first.items()} != {
        key: gate.shape for key, gate in second.items()
    }:
        return float("inf")
    apart = [furthest(gate, second[key]) for key, gate in first.items()]
    ours, theirs = output_of(one), output_of(other)
    if ours is not None and theirs is not None:
        apart.append(furthest(ours, theirs) / max(1.0, float(abs(ours).max(initial=0))))
    return max(apart, default=0.0)


def _told(effect: Effect) -> str:
    return (
        f"Fast ({', '.join(effect.ways)}): {effect.speed:.2f} times as fast as the exact forward; "
        f"gates differ by {effect.gates:.1e} at most on {first_of(effect.photos)} (allowed: "
        f"{effect.allowed:.0e}), the output by {effect.output:.1e}."
    )


def _follow(
    work: Work,
    part: Part,
    *,
    cluster: Cluster | None,
    workers: int | None,
    retry: bool,
    reporter: Reporter,
) -> Summary:
    record, store = work.record, work.store
    mine = part.shards(record.shards)
    todo: list[int] = []
    before = failed = total = 0
    for shard in mine:
        known = read_result(store, record, shard)
        count = min(record.shard_size, record.photos - shard * record.shard_size)
        total += count
        if known is None or (retry and known.failed):
            todo.append(shard)
        else:
            before += count
            failed += len(known.failed)
    if cluster is None:
        if work.reopen is None and not can_fork():
            workers = 1
        count = max(1, min(workers or cores(), len(todo)))
        told = f"{count} process{'es' if count > 1 else ''}"
        results = run_shards(work, todo, count, reporter.advance)
    else:
        told, results = cluster.told, run_on_ray(work, todo, cluster, reporter.advance)
    reporter.say(_plan_told(work, told, part, total, before))
    reporter.begin(total, before)
    began = time.monotonic()
    done = 0
    for result in results:
        done += result.photos
        failed += len(result.failed)
        for _, name, reason in result.failed:
            reporter.say(f"Skipped {shortened(name, 200)}: {reason}")
    seconds = time.monotonic() - began
    made = (read_result(store, record, shard) for shard in range(record.shards))
    complete = _write_failed(store, made)
    size = sum(path.stat().st_size for path in (store / GATES).glob("*.parquet"))
    return Summary(store, record.photos, before, done, failed, complete, seconds, size)


def _plan_told(work: Work, workers: str, part: Part, total: int, before: int) -> str:
    record, looker = work.record, work.looker
    which = f", part {part.number} of {part.of}" if part.of > 1 else ""
    ahead = f", {looker.threads} threads that read ahead" if looker.threads else ""
    were = "was" if before == 1 else "were"
    earlier = f" {before:,} {were} done before." if before else ""
    return (
        f"{counted(total, 'photo')}{which}, {record.shard_size} to a shard, {record.batch} in a "
        f"forward; {workers}{ahead}.{earlier}"
    )


def _write_failed(store: Path, results: Iterator[ShardResult | None]) -> bool:
    """Write `failed.csv` once all shards are there; say whether they are."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("photo", "name", "reason"))
    for result in results:
        if result is None:
            return False
        writer.writerows(result.failed)
    write_atomic(store / FAILED, text.getvalue().encode(), force=True)
    return True


def _refuse_foreign(out: Path) -> None:
    """Raise StoreError for a file, or a folder of other things."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file. Give the name of a folder for the store.")
    if not out.is_dir() or (out / STORE).exists():
        return
    ours = {PLAN, GATES, FAILED, SUMMARIES}
    others = [one.name for one in out.iterdir() if one.name not in ours]
    others = [name for name in others if not name.startswith(LOCK) and not _is_part(name)]
    if others:
        raise StoreError(
            f"{out} holds other things ({others[0]}) and no store. Give a new or empty folder."
        )


def _clean(out: Path) -> None:
    """Remove what a killed run was writing."""
    for folder in (out, out / GATES):
        for path in folder.iterdir():
            if _is_part(path.name):
                with suppress(OSError):
                    path.unlink()


def _is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")
