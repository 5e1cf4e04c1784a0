"""Tensors from the bytes of a file: where a file says they lie, if they do lie within it.

Nothing is copied that need not be: a tensor is a view of the mapped file, so that a checkpoint of
many gigabytes costs what is touched of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cbam_viz._text import quoted
from cbam_viz.errors import CheckpointError
from cbam_viz.inert.archive import Part
from cbam_viz.inert.nodes import damaged

NUMBERS = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16,
        torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.bool,
        torch.uint8, torch.uint16, torch.uint32, torch.uint64,
    }
)  # fmt: skip
"""Types of tensors that a checkpoint may hold; those of weights must be floating-point."""

_TYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "UntypedStorage": torch.uint8,
    "ComplexDoubleStorage": torch.complex128, "ComplexFloatStorage": torch.complex64,
    "QUInt8Storage": torch.quint8, "QInt8Storage": torch.qint8, "QInt32Storage": torch.qint32,
    "QUInt4x2Storage": torch.quint4x2, "QUInt2x4Storage": torch.quint2x4,
}  # fmt: skip
_MOST_SIDES = 32
_MOST_NUMBERS = 2**60


@dataclass(frozen=True)
class Storage:
    """A row of numbers in a file."""

    dtype: torch.dtype
    key: str
    """Of its part in the file."""
    first: int
    """Where in that part it starts, in numbers: 0 but for files of the oldest versions."""
    count: int


class Budget:
    """How many bytes the content of a file may claim, so that a small one cannot fill the memory.

    One number can be viewed as a billion, and one text be decoded a thousand times.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        """Of the file, in bytes."""
        self.claimed = 0

    def spend(self, count: int) -> None:
        """Count bytes. Raises CheckpointError if they exceed four times the file and a megabyte."""
        self.claimed += count
        if self.claimed > 4 * self.size + 1024**2:
            raise CheckpointError(
                f"The file's tensors claim more than {self.claimed / 1e6:,.0f} MB; it has "
                f"{self.size / 1e6:,.3f} MB. It is damaged or made to exhaust memory."
            )


def storage_type(name: str) -> torch.dtype:
    """Return the number type of torch's storage class `name`. Raises CheckpointError."""
    dtype = _TYPES.get(name.rpartition(".")[2])
    if dtype is None:
        raise CheckpointError(f"The file holds tensors of an unknown kind, {quoted(name)}.")
    return dtype


def check_type(dtype: torch.dtype) -> None:
    """Refuse what is no plain number. Raises CheckpointError."""
    if dtype not in NUMBERS:
        name = str(dtype).removeprefix("torch.")
        raise CheckpointError(
            f"The file holds tensors of type {name}; only ordinary floating-point weights can be "
            "read. Save them as float32."
        )


class Storages:
    """The numbers of one file."""

    def __init__(
        self,
        data: bytearray | mmap.mmap,
        parts: Mapping[str, Part],
        budget: Budget,
        *,
        swapped: bool = False,
    ) -> None:
        """Take the file's bytes, writable (a map must be private): torch has no other tensors."""
        self.budget = budget
        self._data = data
        self._parts = parts
        self._swapped = swapped
        self._rows: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def tensor(
        self,
        storage: Storage,
        offset: int,
        size: Sequence[int],
        stride: Sequence[int],
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """Return a view of a storage; `offset` and `stride` in numbers of the tensor's type.

        Raises:
            CheckpointError: it does not lie within its storage, or the storage not within the file.
        """
        dtype = dtype or storage.dtype
        row, first, count = self._row(storage, dtype)
        if not _whole_numbers([offset, *size, *stride]) or len(size) != len(stride):
            raise damaged("a tensor's place in it is impossible")
        numbers, last = 1, offset
        for side, step in zip(size, stride, strict=True):
            numbers *= side or 1
            last += (side - 1) * step
        if len(size) > _MOST_SIDES or numbers > _MOST_NUMBERS:
            raise damaged("a tensor's size is impossible")
        if 0 in size:
            return torch.empty(tuple(size), dtype=dtype, device="cpu")
        if last >= count:
            raise damaged("a tensor reaches beyond its numbers")
        self.budget.spend(numbers * dtype.itemsize)
        return row.as_strided(tuple(size), tuple(stride), first + offset)

    def _row(self, storage: Storage, dtype: torch.dtype) -> tuple[torch.Tensor, int, int]:
        """Return the part's numbers in one dimension, and where among them the storage lies."""
        check_type(dtype)
        part = self._parts.get(storage.key)
        if part is None:
            raise damaged(f"it has no numbers under {quoted(storage.key)}")
        first = storage.first * storage.dtype.itemsize
        length = storage.count * storage.dtype.itemsize
        if min(first, length) < 0 or first + length > part.length:
            raise CheckpointError(
                f"The file claims a tensor of {storage.count:,} numbers and has only "
                f"{part.length:,} bytes for it. It is damaged or made to exhaust memory."
            )
        whole = self._rows.get((storage.key, dtype))
        if whole is None:
            whole = self._rows[storage.key, dtype] = self._mapped(part, dtype)
        return whole, first // dtype.itemsize, length // dtype.itemsize

    def _mapped(self, part: Part, dtype: torch.dtype) -> torch.Tensor:
        count = part.length // dtype.itemsize
        if count == 0:
            return torch.empty(0, dtype=dtype, device="cpu")
        if part.start % dtype.itemsize == 0 and not (self._swapped and dtype.itemsize > 1):
            return torch.frombuffer(self._data, dtype=dtype, count=count, offset=part.start)
        self.budget.spend(part.length)
        with memoryview(self._data) as view:
            numbers = np.array(view[part.start : part.start + count * dtype.itemsize], np.uint8)
        if self._swapped:
            numbers = numbers.reshape(-1, dtype.itemsize)[:, ::-1].copy().reshape(-1)
        return torch.from_numpy(numbers).view(dtype)


def _whole_numbers(values: Sequence[object]) -> bool:
    return all(type(value) is int and 0 <= value < _MOST_NUMBERS for value in values)
