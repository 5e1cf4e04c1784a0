"""A store, opened: what it says of itself, its photos, and a layer's gates shard by shard."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz._places import SAMPLE
from cbam_viz._text import few, said, shortened
from cbam_viz.attention import Cells
from cbam_viz.batch.record import GATES, ONE_SIZE, STORE, Record, read_record
from cbam_viz.dataset.checking import checked, refuse_bomb
from cbam_viz.errors import StoreError
from cbam_viz.images import Geometry, photo_shares
from cbam_viz.layer_names import Named
from cbam_viz.store.arrow import arrow, parquet

Part = Literal["channel", "spatial"]
Real = npt.NDArray[np.float64]
_PLACE = (
    "photo_height", "photo_width", "input_height", "input_width", "scale_y", "scale_x",
    "offset_y", "offset_x",
)  # fmt: skip
SAMPLES = Path(__file__).parent / "samples"
_AHEAD = 2
"""Shards that are read while one is looked at, each by a thread of its own."""


@dataclass(frozen=True)
class Block:
    """One gate of the photos of a shard."""

    rows: npt.NDArray[np.int64]
    """(N,) which rows of the store they are, from 0."""
    values: npt.NDArray[np.float32]
    """(N, D): channel weights, or maps row by row."""
    shares: Real
    """(N, D) share of the photo that each cell covers; 1 / D for channel weights. Sums to 1."""

    def only(self, chosen: npt.NDArray[np.bool_]) -> Block:
        """The photos (N,) that are chosen."""
        return Block(self.rows[chosen], self.values[chosen], self.shares[chosen])


@dataclass(frozen=True)
class Store:
    """A store that can be read. Gates stay on disk until they are asked for."""

    path: Path
    record: Record
    files: tuple[Path, ...]
    """The shards that are there, in order."""

    @cached_property
    def photos(self) -> Any:
        """A pyarrow table of all photos: `photo`, `name`, `sha256`, `label`, `prediction`."""
        return arrow().concat_tables(self._tables)

    @cached_property
    def _tables(self) -> list[Any]:
        """`photos` of each shard."""
        columns = ["photo", "name", "sha256", "label", "prediction"]
        return [_read(file, columns) for file in self.files]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what the gates follow from: what the store was made with, each photo's digest
        and label in order, and the sizes of the shards. The same wherever the store lies.
        """
        told = json.dumps([self.record.fingerprint, self.record.document["layout"]], sort_keys=True)
        digest = hashlib.sha256(told.encode())
        for file, table in zip(self.files, self._tables, strict=True):
            rows = table.select(["photo", "sha256", "label"]).to_pydict()
            digest.update(json.dumps([file.stat().st_size, rows]).encode())
        return digest.hexdigest()

    def row_of(self, photo: int) -> int:
        """Which row a photo of the plan is. Raises StoreError if the store has it not."""
        rows = np.flatnonzero(np.asarray(self.photos["photo"]) == photo)
        if not rows.size:
            raise StoreError(f"{self.path} has no photo {photo}.")
        return int(rows[0])

    def read(self, file: Path, columns: Sequence[str]) -> Any:
        """Columns of one shard as a pyarrow table. Raises StoreError if it is damaged."""
        return _read(file, columns)

    def file_of(self, row: int) -> Path:
        """The shard that a row is in. Raises StoreError for a row beyond the last."""
        return self.files[self._place_of(row)[0]]

    def columns_of(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Columns of one row as Python values; gates as a list, None where there are none."""
        shard, at = self._place_of(row)
        found: dict[str, Any] = _read(self.files[shard], columns).slice(at, 1).to_pylist()[0]
        return found

    def _place_of(self, row: int) -> tuple[int, int]:
        """Which shard, and which row of it."""
        at = row
        for shard, table in enumerate(self._tables):
            if 0 <= at < table.num_rows:
                return shard, at
            at -= table.num_rows
        raise StoreError(f"{self.path} has no row {row}.")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted(one for one in self.photos["label"].unique().to_pylist() if one))

    @cached_property
    def groups(self) -> npt.NDArray[np.int64]:
        """(N,) each photo's place in `classes`; the place behind the last for those without."""
        place = {name: number for number, name in enumerate(self.classes)}
        labels = self.photos["label"].to_pylist()
        return np.array([place.get(label, len(place)) for label in labels], np.int64)

    @property
    def layers(self) -> list[dict[str, Any]]:
        """What `store.json` says of each layer."""
        return list(self.record.document["layers"])

    @cached_property
    def named(self) -> dict[str, Named]:
        """Every layer that has gates here by name, for `titles` and `find_name`."""
        said = {one["name"]: one for one in self.layers}
        return {
            name: Named(
                name,
                said[name].get("module") or name.partition("#")[0],
                said[name].get("call", 1),
                said[name]["stage"],
                said[name].get("block"),
            )
            for name in (one.name for one in self.record.layout.layers)
        }

    def gates(self, part: Part | None = None) -> list[tuple[str, Part]]:
        """Every gate of every layer, in order of execution."""
        parts: tuple[Part, ...] = ("channel", "spatial")
        return [
            (layer.name, one)
            for layer in self.record.layout.layers
            for one in parts
            if (layer.channels if one == "channel" else layer.map_size) is not None
            and part in (None, one)
        ]

    @property
    def summable(self) -> list[tuple[str, Part]]:
        """Those of which all photos can be put together: no maps that differ in size."""
        return self.gates("channel" if self.record.layout.varying else None)

    def shape(self, layer: str, part: Part) -> tuple[int, ...]:
        """Shape of a gate: (C,) or (h, w). Raises StoreError if there is none."""
        known = next((one for one in self.record.layout.layers if one.name == layer), None)
        if known is None:
            names = [one.name for one in self.record.layout.layers]
            raise StoreError(f"{self.path} has no layer {layer!r}; it has {few(names, shown=40)}.")
        if part == "channel" and known.channels is not None:
            return (known.channels,)
        if part == "spatial" and known.map_size is not None:
            return known.map_size
        raise StoreError(f"{layer} has no {part} gates.")

    def blocks(
        self,
        layer: str,
        part: Part,
        wanted: npt.NDArray[np.bool_] | None = None,
        shards: range | None = None,
    ) -> Iterator[Block]:
        """One gate of all photos, shard by shard, without photos for which the layer did not run.

        With `wanted` (N,) of those rows alone, with `shards` of those places in `files` alone; what
        has none of them is not read.
        Raises StoreError for a layer that is not there, and for maps that differ in size.
        """
        shape = self.shape(layer, part)
        if part == "spatial" and self.record.layout.varying:
            raise StoreError(
                f"The maps in {self.path} differ in size from photo to photo, as its inputs do, so "
                f"that their cells cannot be put together. In a store made anew, {ONE_SIZE}."
            )
        column = f"{layer}/{part}"
        columns = [column, *(_PLACE if part == "spatial" else ())]
        ends = np.cumsum([0, *(told.num_rows for told in self._tables)])
        chosen = [
            number
            for number in (range(len(self.files)) if shards is None else shards)
            if wanted is None or wanted[ends[number] : ends[number + 1]].any()
        ]
        files = [self.files[number] for number in chosen]
        for number, file, whole in zip(chosen, files, _ahead(files, columns), strict=True):
            start, end = int(ends[number]), int(ends[number + 1])
            mine = None if wanted is None else wanted[start:end]
            table = whole if mine is None else whole.filter(arrow().array(mine))
            found = table[column].combine_chunks()
            there = np.asarray(found.is_valid())
            every = np.arange(end - start) if mine is None else np.flatnonzero(mine)
            rows = start + every[there]
            values = found.drop_null().flatten().to_numpy()
            size = int(np.prod(shape))
            if values.size != len(rows) * size:
                raise _damaged(file, f"{column} is not of {size} values a photo")
            values = values.reshape(len(rows), size)
            if part == "channel":
                shares = np.broadcast_to(1 / values.shape[1], values.shape)
            else:
                shares = self._shares(layer, shape, table, there)
            yield Block(rows, values, shares)

    def _shares(self, layer: str, shape: Sequence[int], table: Any, there: Any) -> Real:
        cells = next(one["cells"] for one in self.layers if one["name"] == layer)
        known = None if cells is None else Cells(**cells)
        places = np.stack([np.asarray(table[name]) for name in _PLACE], 1)[there]
        size = int(np.prod(shape))
        different, which = np.unique(places, axis=0, return_inverse=True)
        shares = [_shares_of((shape[0], shape[1]), known, tuple(one)) for one in different]
        if len(different) == 1:
            return np.broadcast_to(shares[0].reshape(-1), (len(places), size))
        return np.array(shares).reshape(-1, size)[which.reshape(-1)]


@lru_cache(4096)
def _shares_of(shape: tuple[int, int], cells: Cells | None, place: tuple[float, ...]) -> Real:
    height, width, rows, columns = (int(one) for one in place[:4])
    scale_y, scale_x, offset_y, offset_x = place[4:]
    geometry = Geometry((height, width), (rows, columns), scale_y, scale_x, offset_y, offset_x)
    return photo_shares(shape, cells, geometry)


def sample_stores() -> tuple[str, ...]:
    """Names of the stores that come with the package."""
    return tuple(sorted(one.parent.name for one in SAMPLES.glob(f"*/{STORE}")))


def open_store(path: str | Path) -> Store:
    """Open a store, also one that is not complete; `sample:NAME` is one that comes along.

    Raises StoreError if it is none, or empty.
    """
    text = str(path)
    folder = SAMPLES / Path(text[len(SAMPLE) :]).name if text.startswith(SAMPLE) else Path(path)
    record = read_record(folder)
    if record is None:
        raise StoreError(
            f"{folder} holds no {STORE}, so it is no store. Make one: cbam-viz batch PHOTOS --out "
            f"{folder}."
        )
    files = tuple(sorted(one for one in (folder / GATES).glob("*.parquet") if one.stem.isdecimal()))
    store = Store(folder, record, files)
    if not files or not store.photos.num_rows:
        raise StoreError(f"{folder} holds no photos yet. Let cbam-viz batch do its work first.")
    return store


def _ahead(files: Sequence[Path], columns: Sequence[str]) -> Iterator[Any]:
    """Columns of each shard in order; the next ones are read while one is looked at."""
    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting: deque[Future[Any]] = deque()
        for file in files:
            waiting.append(pool.submit(_read, file, columns))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(file: Path, columns: Sequence[str]) -> Any:
    try:
        if not file.is_file():  # a pipe would be waited for
            raise FileNotFoundError("it is no file")
        opened = parquet().ParquetFile(file)
        refuse_bomb(opened.metadata)
        return checked(opened.read(list(columns), use_threads=False), columns)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise _damaged(file, said(error).rstrip(".")) from error


def _damaged(file: Path, why: str) -> StoreError:
    return StoreError(
        f"{file} is damaged ({shortened(why)}). Remove it and run the same cbam-viz batch again: "
        "it makes it anew."
    )
