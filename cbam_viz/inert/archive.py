"""The directory of a zip file as torch writes it: what lies where, checked before it is believed.

Python's `zipfile` reads a directory of any length into memory, entry by entry; a file of 300 MB can
be nothing but directory. Here its length is limited first. Nothing is ever unpacked or written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.inert.nodes import damaged

MAX_ENTRIES = 200_000
_MAX_DIRECTORY = 32 * 1024**2
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_COMMENT = 65_535
_ESCAPE32 = 0xFFFFFFFF
_OTHERS = {
    "a program of torch.export, not weights. Save the weights alone: "
    "torch.save(torch.export.load(file).state_dict, 'weights.pth').": (
        "archive_format",
        "serialized_exported_program.json",
    ),
    "a Keras file; only PyTorch weights can be read. Give a .safetensors, .pth or .pt file.": (
        "model.weights.h5",
    ),
}
"""Other programs' archives, by a part that only these have."""
_WIDE_SIZES = 1
"""The extra field of sizes that need 64 bits."""
_ENCRYPTED = 1


@dataclass(frozen=True)
class Part:
    """Where the bytes of one entry lie in the file."""

    start: int
    length: int


def read_directory(data: memoryview) -> dict[str, Part]:
    """Return the parts of a checkpoint by name, without the folder that torch puts them all in.

    Raises:
        CheckpointError: it is damaged, compressed, encrypted or no checkpoint, has too many parts,
            or parts that claim more bytes than it has or have one name.
    """
    try:
        start, length = _find_directory(data)
        if length > _MAX_DIRECTORY:
            raise CheckpointError("The file lists too many parts; it is no PyTorch checkpoint.")
        return _parts(data, start, length)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise damaged("its directory is not where it should be") from error


def _find_directory(data: memoryview) -> tuple[int, int]:
    tail_start = max(0, len(data) - _END.size - _MOST_COMMENT)
    tail = bytes(data[tail_start:])
    at = tail.rindex(b"PK\x05\x06")
    *_, length, start, _comment = _END.unpack_from(tail, at)
    end = tail_start + at
    if end >= _LOCATOR.size:
        magic, _, at64, _ = _LOCATOR.unpack_from(data, end - _LOCATOR.size)
        if magic == b"PK\x06\x07":
            magic, *_, length, start = _END64.unpack_from(data, at64)
            if magic != b"PK\x06\x06":
                raise ValueError
    if start + length > end:
        raise ValueError
    return start, length


@dataclass(frozen=True)
class _Entry:
    """A line of the directory."""

    name: str
    flags: int
    packing: int
    packed: int
    size: int
    offset: int
    """Of the entry's own header."""


def _parts(data: memoryview, start: int, length: int) -> dict[str, Part]:
    entries = _entries(bytes(data[start : start + length]))
    _check_kind(entries)
    if sum(entry.size for entry in entries) > len(data):
        raise CheckpointError(
            "The parts of the file claim more bytes than the file has. It is damaged or made to "
            "exhaust memory."
        )
    parts: dict[str, Part] = {}
    for entry in entries:
        if entry.name in parts:
            raise CheckpointError(
                f"The file lists a part twice, {shortened(entry.name)}: it is damaged, or made to "
                "show different readers different weights."
            )
        parts[entry.name] = Part(_content(data, entry, before=start), entry.size)
    return parts


def _entries(directory: bytes) -> list[_Entry]:
    entries: list[_Entry] = []
    at = 0
    while at < len(directory):
        magic, *fields = _ENTRY.unpack_from(directory, at)
        if magic != b"PK\x01\x02" or len(entries) >= MAX_ENTRIES:
            raise ValueError
        _, _, flags, packing, _, _, _, packed, size, names, extras, comments = fields[:12]
        at += _ENTRY.size
        name = directory[at : at + names].decode("utf-8", "replace")
        extra = directory[at + names : at + names + extras]
        at += names + extras + comments
        size, packed, offset = _wide(extra, size, packed, fields[15])
        inner = name.partition("/")[2] or name
        entries.append(_Entry(inner, flags, packing, packed, size, offset))
    return entries


def _wide(extra: bytes, *values: int) -> list[int]:
    """Replace sizes that do not fit in 32 bits by those that follow in 64."""
    at, wide = 0, list[int]()
    while at + 4 <= len(extra) and not wide:
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _WIDE_SIZES:
            wide = list(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
        at += 4 + length
    return [wide.pop(0) if value == _ESCAPE32 else value for value in values]


def _check_kind(entries: list[_Entry]) -> None:
    names = {entry.name for entry in entries}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise CheckpointError(
            "The file is a TorchScript program, not weights. Save the weights alone: "
            "torch.save(torch.jit.load(file).state_dict(), 'weights.pth')."
        )
    if any(entry.flags & _ENCRYPTED for entry in entries):
        raise CheckpointError("The file is an encrypted zip archive: unpack it first.")
    for kind, marks in _OTHERS.items():
        if any(name == mark or name.endswith(f"/{mark}") for name in names for mark in marks):
            raise CheckpointError(f"The file is {kind}")
    if any(name.endswith(".npy") for name in names):
        raise CheckpointError(
            "The file is an archive of NumPy arrays (.npz). Save them as tensors: "
            "torch.save({name: torch.from_numpy(a) for name, a in numpy.load(file).items()}, "
            "'weights.pth')."
        )
    if any(entry.packing != 0 for entry in entries):
        if "data.pkl" in names:
            raise CheckpointError(
                "The file is a checkpoint in a compressed zip, as another program packed it; "
                "torch.save does not compress. Unpack it, and pack the folder without: "
                "zip -0 -r weights.pth FOLDER."
            )
        raise CheckpointError(
            "The file is a compressed zip archive. PyTorch stores weights uncompressed, so this "
            "was not written by torch.save: unpack it and give the file inside."
        )
    if "data.pkl" not in names:
        raise CheckpointError(
            "The file is a zip archive without PyTorch weights in it. If it packs a checkpoint, "
            "unpack it first."
        )


def _content(data: memoryview, entry: _Entry, *, before: int) -> int:
    """Return where an entry's bytes start, after its own header."""
    magic, *_, names, extras = _LOCAL.unpack_from(data, entry.offset)
    start: int = entry.offset + _LOCAL.size + names + extras
    if magic != b"PK\x03\x04" or entry.packed != entry.size or start + entry.size > before:
        raise ValueError
    return start
