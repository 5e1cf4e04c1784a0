"""The bytes of photos, wherever they lie; files stay open while the next photo is in them too."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from cbam_viz._text import said
from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.tables import Columns, content_of, image_column, open_arrow
from cbam_viz.errors import ImageError
from cbam_viz.images.reading import MAX_BYTES, too_many_bytes
from cbam_viz.store.arrow import parquet

ROWS = 32
"""Rows of a table's images that are in memory at a time."""


class Opener:
    """Gives the content of items; several threads may ask."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._lock = threading.Lock()
        self._tar: tuple[str, BinaryIO] | None = None
        self._table: _Table | _Mapped | None = None

    def content(self, item: Item) -> bytes | Path:
        """Return a photo's bytes, or the path of its file. Raises ImageError."""
        if item.kind == "file":
            return Path(item.path)
        with self._lock:
            try:
                return self._in_tar(item) if item.kind == "tar" else self._in_table(item)
            except ImageError:
                raise
            except Exception as error:  # the system's, and pyarrow's many kinds
                cause = said(error).rstrip(".")
                raise ImageError(f"{item.name} cannot be read: {cause}.") from error

    def close(self) -> None:
        """Close what is open."""
        if self._tar is not None:
            self._tar[1].close()
        self._tar = self._table = None

    def _in_tar(self, item: Item) -> bytes:
        if item.size > MAX_BYTES:
            raise too_many_bytes(item.name, item.size, MAX_BYTES)
        if self._tar is None or self._tar[0] != item.path:
            self.close()
            self._tar = item.path, Path(item.path).open("rb")  # noqa: SIM115  # kept open
        stream = self._tar[1]
        stream.seek(item.offset)
        data = stream.read(item.size)
        if len(data) < item.size:
            raise ImageError(f"{item.name} is cut off: its archive is shorter than it was.")
        return data

    def _in_table(self, item: Item) -> bytes | Path:
        if self._table is None or self._table.path != item.path:
            kind = _Mapped if item.kind == "arrow" else _Table
            self._table = kind(item, self.columns)
        return content_of(self._table.cell(item.offset), Path(item.path).parent)


class _Table:
    """One Parquet file's column of images, a few rows at a time."""

    def __init__(self, item: Item, columns: Columns) -> None:
        self.path = item.path
        self._file = parquet().ParquetFile(item.path)
        self._column = image_column(self._file.schema_arrow, columns.image, Path(item.path))
        groups = range(self._file.metadata.num_row_groups)
        rows = [self._file.metadata.row_group(group).num_rows for group in groups]
        self._starts = [0, *accumulate(rows)]
        self._group = -1
        self._batches: Iterator[Any] = iter(())
        self._held: Sequence[Any] = ()
        self._at = 0
        """Which row is the first of those held."""
        self._broken: Exception | None = None
        """Why the rest of the group cannot be read."""

    def cell(self, row: int) -> Any:
        """The value in a row; rows in order are cheap."""
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._at:
            self._group, self._at, self._held = group, self._starts[group], ()
            self._broken = None
            self._batches = self._file.iter_batches(
                ROWS, row_groups=[group], columns=[self._column], use_threads=False
            )
        if self._broken is not None:
            raise self._broken
        try:
            while row >= self._at + len(self._held):
                self._at += len(self._held)
                self._held = ()
                self._held = next(self._batches).column(0)
        except Exception as error:
            self._broken = error  # what comes behind it in the group cannot be read either
            raise
        return self._held[row - self._at].as_py()


class _Mapped:
    """One Arrow file's column of images, which the system reads as it is asked for."""

    def __init__(self, item: Item, columns: Columns) -> None:
        self.path = item.path
        table = open_arrow(Path(item.path))
        self._cells = table.column(image_column(table.schema, columns.image, Path(item.path)))

    def cell(self, row: int) -> Any:
        """The value in a row."""
        return self._cells[row].as_py()
