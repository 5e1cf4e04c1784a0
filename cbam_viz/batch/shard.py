"""One shard: its photos through the network, and its file written as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbam_viz.batch.looking import Looker
from cbam_viz.batch.plan import Plan
from cbam_viz.batch.record import (
    Record,
    gates_of,
    other_placement,
    placement_of,
    row_of,
    shard_path,
)
from cbam_viz.errors import StoreError
from cbam_viz.models import LoadedModel
from cbam_viz.store.files import write_atomic
from cbam_viz.store.shards import PhotoRow, read_document, shard_bytes, too_far, unfit

Failure = tuple[int, str, str]
"""A photo's number, its name, and why it is not in the store."""


@dataclass(frozen=True)
class Work:
    """What all shards of a run have in common."""

    store: Path
    record: Record
    plan: Plan
    looker: Looker
    reopen: Callable[[], LoadedModel] | None = None
    """Opens the network in a process that does not inherit it; picklable."""


@dataclass(frozen=True)
class ShardResult:
    """What came of a shard."""

    shard: int
    photos: int
    """All of its photos, those that failed too."""
    failed: tuple[Failure, ...]


def make_shard(work: Work, shard: int, done: Callable[[int], None]) -> ShardResult:
    """Compute a shard and write its file; `done` is told of photos in between.

    Raises StoreError if it cannot be written.
    """
    record = work.record
    items = work.plan.items(shard, record.shard_size)
    first = shard * record.shard_size
    rows: list[PhotoRow] = []
    failed: list[Failure] = []
    placement: dict[str, list[dict[str, Any]]] = {}
    known: dict[Hashable, list[dict[str, Any]]] = {}  # nearly all photos are placed as the first
    for number, (item, result) in enumerate(
        zip(items, work.looker.results(items, done), strict=True), first
    ):
        reason = result if isinstance(result, str) else _unfit(record, gates_of(result.attention))
        if isinstance(result, str) or reason:
            failed.append((number, item.name, reason))
            continue
        rows.append(row_of(result, item, number, record.layout))
        place = placement_of(result.attention)
        if place not in known:
            known[place] = other_placement(result, record)
        if other := known[place]:
            placement.setdefault("{} x {}".format(*result.geometry.input_size), other)
    document = {
        "shard": shard,
        "photos": len(items),
        "mark": mark(record),
        "failed": failed,
        "placement": placement,
    }
    data = shard_bytes(record.layout, rows, document)
    write_atomic(shard_path(work.store, shard), data, force=True)
    return ShardResult(shard, len(items), tuple(failed))


def read_result(store: Path, record: Record, shard: int) -> ShardResult | None:
    """What an earlier run made of a shard; None if its file is missing, damaged or another's."""
    path = shard_path(store, shard)
    if not path.exists():
        return None
    try:
        told = read_document(path)
        failed = tuple((int(photo), str(name), str(why)) for photo, name, why in told["failed"])
        whole = told["shard"] == shard and told["rows"] + len(failed) == told["photos"]
        expected = min(record.shard_size, record.photos - shard * record.shard_size)
        if not whole or told["photos"] != expected or told["mark"] != mark(record):
            return None
        return ShardResult(shard, expected, failed)
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def mark(record: Record) -> str:
    """A digest of what a store was made with, which each of its files carries."""
    made_with = json.dumps(record.fingerprint, sort_keys=True)
    return hashlib.sha256(made_with.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _unfit(record: Record, gates: Any) -> str:
    reason = unfit(record.layout, gates)
    if reason:
        return f"The network took another way than for the first photo: {reason}."
    return f"{beyond}." if (beyond := too_far(record.layout, gates)) else ""
