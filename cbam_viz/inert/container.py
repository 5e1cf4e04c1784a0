"""A PyTorch file as it lies on the disk: its pickle, and where the numbers of each tensor are.

Two layouts. Since 1.6 torch writes an uncompressed zip: `data.pkl`, and `data/0`, `data/1` ... for
the numbers. Before that, pickles one after the other (a magic number, the protocol, the system, the
content, a list of keys) and then the numbers, each with its count before it. A plain pickle, which
can hold weights as NumPy arrays, is read too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cbam_viz._text import quoted
from cbam_viz.errors import CheckpointError
from cbam_viz.inert.archive import Part, read_directory
from cbam_viz.inert.machine import Machine
from cbam_viz.inert.nodes import HOW_TO_CONVERT, Node, Value, damaged

_MAX_PICKLE_BYTES = 64 * 1024**2
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT = struct.Struct("<q")

ITEM_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1, "UntypedStorage": 1, "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8,
    "QUInt8Storage": 1, "QInt8Storage": 1, "QInt32Storage": 4, "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1,
}  # fmt: skip
"""Bytes of one number by torch's class of storage."""


@dataclass(frozen=True)
class Opened:
    """What a PyTorch file says and where its numbers are."""

    root: Value
    nodes: list[Node]
    """All that the content is made of, in the order in which it was made."""
    parts: dict[str, Part] = field(default_factory=dict)
    """Where the numbers of each storage lie, by the storage's key."""
    swapped: bool = False
    """Whether the numbers are in big-endian order."""


def open_zip(data: memoryview) -> Opened:
    """Read a file that starts as a zip. Raises CheckpointError; see `read_directory`, `Machine`."""
    parts = read_directory(data)
    pickle = parts["data.pkl"]
    if pickle.length > _MAX_PICKLE_BYTES:
        raise _too_long()
    machine = Machine(_bytes(data, pickle))
    root = machine.run()
    order = _bytes(data, parts["byteorder"])[:16] if "byteorder" in parts else b"little"
    if order not in {b"little", b"big"}:
        raise damaged("it does not say in which order the bytes of its numbers are")
    numbers = {
        name.removeprefix("data/"): part for name, part in parts.items() if name.startswith("data/")
    }
    return Opened(root, machine.nodes, numbers, swapped=order == b"big")


def open_pickle(data: memoryview) -> Opened:
    """Read a file that starts as a pickle: torch's older layout, or a pickle alone."""
    start = bytes(data[:_MAX_PICKLE_BYTES])
    first = _run(start, 0)
    if first.value != _MAGIC_NUMBER:
        return Opened(first.value, first.nodes)
    version = _run(start, first.end)
    if version.value != _PROTOCOL:
        raise damaged("its version is unknown")
    system = _run(start, version.end)
    content = _run(start, system.end)
    keys = _run(start, content.end)
    parts = _numbers(data, keys.end, _texts(keys), _item_bytes(content.nodes))
    return Opened(content.value, content.nodes, parts)


def _too_long() -> CheckpointError:
    return CheckpointError(
        f"The file's pickle has more than {_MAX_PICKLE_BYTES // 1024**2} MB beside its tensors "
        "(weights as NumPy arrays, or other data, are part of it); not opened. "
        f"{HOW_TO_CONVERT}"
    )


def _bytes(data: memoryview, part: Part) -> bytes:
    return bytes(data[part.start : part.start + part.length])


@dataclass(frozen=True)
class _Run:
    value: Any
    nodes: list[Node]
    end: int


def _run(data: bytes, start: int) -> _Run:
    machine = Machine(data, start)
    try:
        value = machine.run()
    except CheckpointError as error:
        if any(node.kind == "name" and node.items.startswith("joblib.") for node in machine.nodes):
            raise CheckpointError(
                "The file was written by joblib, which puts arrays amid its pickle; that is not "
                f"read. {HOW_TO_CONVERT}"
            ) from None
        ended = isinstance(error.__cause__, (IndexError, struct.error))
        if ended and len(data) == _MAX_PICKLE_BYTES:  # what it lacks lies beyond
            raise _too_long() from None
        raise
    return _Run(value, machine.nodes, machine.end)


def _texts(keys: _Run) -> list[str]:
    items = keys.value.items if isinstance(keys.value, Node) and keys.value.kind == "list" else None
    if items is None or not all(isinstance(key, str) for key in items):
        raise damaged("its list of tensors is none")
    return list(items)


def _item_bytes(nodes: Iterable[Node]) -> dict[str, int]:
    """Return how long one number of each storage is, by the storage's key."""
    sizes: dict[str, int] = {}
    for node in nodes:
        if node.kind == "storage":
            _, kind, key, *_ = node.items
            if isinstance(key, str) and isinstance(kind, Node) and kind.kind == "name":
                size = ITEM_BYTES.get(kind.items.rpartition(".")[2], 0)
                if sizes.setdefault(key, size) != size:
                    raise damaged(f"numbers of two types in one place, {quoted(key)}")
    return sizes


def _numbers(
    data: memoryview, start: int, keys: list[str], sizes: dict[str, int]
) -> dict[str, Part]:
    """Follow the numbers from storage to storage: the count of each lies before it."""
    parts: dict[str, Part] = {}
    for key in keys:
        try:
            (count,) = _COUNT.unpack_from(data, start)
        except struct.error as error:
            raise damaged("it ends before its tensors do") from error
        start += _COUNT.size
        length = count * sizes.get(key, 0)
        if count < 0 or key not in sizes or key in parts or start + length > len(data):
            raise damaged("it ends before its tensors do")
        parts[key] = Part(start, length)
        start += length
    return parts
