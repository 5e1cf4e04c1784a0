"""The plan of a run: every photo in its order, on disk, so that no number of photos fills memory.

`plan.parquet` is written before the first forward. Its place in the plan is a photo's number, and
`shard_size` photos in a row are a shard: the unit that is computed, written and resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cbam_viz.batch.sources.item import Item
from cbam_viz.errors import ImageError, StoreError
from cbam_viz.store.arrow import arrow, parquet

ROWS = 256
"""Photos in a row group; shards are a part of one."""


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    path: Path
    count: int
    """Photos."""
    digest: str
    """Of all names and labels in order: equal plans, equal digests, wherever the photos lie."""

    def shards(self, size: int) -> int:
        """How many shards of `size` photos there are; the last one may have less."""
        return -(-self.count // size)

    def items(self, shard: int, size: int) -> list[Item]:
        """The photos of one shard."""
        first = shard * size
        file = parquet().ParquetFile(self.path)
        table = file.read_row_group(first // ROWS, use_threads=False).slice(first % ROWS, size)
        return [_item(row) for row in table.to_pylist()]

    def all_items(self) -> Iterator[Item]:
        """Every photo in order."""
        for batch in parquet().ParquetFile(self.path).iter_batches(ROWS, use_threads=False):
            yield from (_item(row) for row in batch.to_pylist())


def write_plan(
    items: Iterable[Item], path: Path, check: Callable[[str], None] = lambda _: None
) -> Plan:
    """Write a plan, all at once, in place of one that is there unless `check` raises on its digest.

    Raises:
        ImageError: there is no photo.
        StoreError: it cannot be written.
    """
    pa, pq = arrow(), parquet()
    schema = pa.schema(
        [
            ("name", pa.string()), ("label", pa.string()), ("kind", pa.string()),
            ("path", pa.binary()), ("offset", pa.int64()), ("size", pa.int64()),
        ]
    )  # fmt: skip
    digest, count, left = hashlib.sha256(), 0, iter(items)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            while rows := [_row(item) for item in islice(left, ROWS)]:
                for row in rows:
                    told = row["name"], row["label"], row["kind"]
                    digest.update(json.dumps(told).encode() + b"\n")
                count += len(rows)
                writer.write_table(pa.Table.from_pylist(rows, schema))
        if not count:
            raise ImageError("There is no photo in these sources.")
        check(digest.hexdigest())
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} cannot be written: {error}. Make room, or choose another place."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Plan(path, count, digest.hexdigest())


def _row(item: Item) -> dict[str, object]:
    return {
        "name": printable(item.name),
        "label": None if item.label is None else printable(item.label),
        "kind": item.kind,
        "path": os.fsencode(item.path),
        "offset": item.offset,
        "size": item.size,
    }


def _item(row: dict[str, object]) -> Item:
    return Item(**{**row, "path": os.fsdecode(row["path"])})  # type: ignore[arg-type]


def printable(name: str) -> str:
    """Return a name as UTF-8 can hold it: bytes that are no text are spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()
