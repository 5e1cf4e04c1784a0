"""Opening weight files safely: safetensors, and PyTorch files without running what is in them.

Nothing here unpickles: `cbam_viz.inert` reads what a pickle says, `content` what that means. A
file's real type is read from its first bytes; its sizes are checked against its length before
anything is allocated.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.inert.transport import open_apart, open_data
from cbam_viz.models.content import build_content
from cbam_viz.models.kinds import not_weights
from cbam_viz.models.storages import Budget, check_type

MAX_BYTES = 8 * 1024**3
"""Larger files are refused."""
MAX_HEADER_BYTES = 16 * 1024**2
"""Largest header of a safetensors file; real ones have some 100 kB."""
MAX_TENSORS = 100_000
"""Most tensors of a safetensors file."""
_CHUNK = 1024**2
_OLD_PICKLE = b"L119547037146038801333356L\n"
"""How torch's older files begin, whose pickle is of a protocol below 2: with a magic number."""


@dataclass(frozen=True)
class WeightFile:
    """The content of a file: what its author saved, tensors on the CPU."""

    content: Any
    """What its author saved, a dictionary as a rule: plain values and `records.Record`s. Containers
    may be shared, nested without end and hold themselves: walk them without recursion, each once.
    """
    metadata: Mapping[str, str]
    """The text entries of a safetensors header; empty for other files."""
    sha256: str
    size: int
    """Length of the file in bytes."""
    notes: tuple[str, ...] = ()
    """How it was read, in sentences, where that was not from one file."""


def read_weights(
    source: Path | bytes, *, folder: Path | None = None, apart: bool = False
) -> WeightFile:
    """Read a .safetensors, .pth or .pt file without running anything in it.

    Opening takes at most 5 seconds and a gigabyte beside the tensors, whatever the file; tensors of
    a path are mapped from the disk, those of bytes copied once.

    Args:
        source: a path or a file's content.
        folder: if given, the file must lie in it, symbolic links followed.
        apart: interpret a pickle in a process of its own, which is killed at those limits, so that
            a server's other visitors notice nothing. Costs a third of a second.

    Raises:
        CheckpointError: the file is missing, empty, truncated, of another type, exceeds a limit, or
            claims sizes that it does not have.
    """
    size = len(source) if isinstance(source, bytes) else _check_path(source, folder)
    if size == 0:
        raise CheckpointError("The checkpoint file is empty (0 bytes). Download or copy it again.")
    if size > MAX_BYTES:
        raise CheckpointError(f"The file has {size / 1e9:.1f} GB; the limit is 8 GB.")
    try:
        if isinstance(source, bytes):
            return _read(io.BytesIO(source), source, size, apart=apart)
        with source.open("rb") as stream:
            file = _read(stream, source, size, apart=apart)
            _check_unchanged(stream, source, size)
            return file
    except OSError as error:
        raise CheckpointError(f"The checkpoint cannot be read: {error}.") from error
    except MemoryError as error:
        raise CheckpointError("There is not enough memory for this checkpoint.") from error


def _check_path(path: Path, folder: Path | None) -> int:
    try:
        real = path.resolve(strict=True)
        status = real.stat()
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: a name that holds a zero
        what = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise CheckpointError(f"{path} {what}. Check the path of the checkpoint.") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
        raise CheckpointError(f"{path} is {kind}; give a .safetensors, .pth or .pt file.")
    if folder is not None and not real.is_relative_to(folder.resolve()):
        raise CheckpointError(f"{path.name} leads out of the folder {folder.name}; not opened.")
    return status.st_size


def _check_unchanged(stream: IO[bytes], path: Path, size: int) -> None:
    """Refuse a file that another one has replaced meanwhile, or that is still being written."""
    opened, now = os.fstat(stream.fileno()), path.stat()
    if not os.path.samestat(opened, now) or now.st_size != size:
        raise CheckpointError(f"{path.name} changed while it was read. Try again when it is done.")


def _read(stream: IO[bytes], source: Path | bytes, size: int, *, apart: bool) -> WeightFile:
    start = stream.read(512)
    metadata: Mapping[str, str] = {}
    content: Any
    if start.startswith((b"PK\x03\x04", b"\x80", _OLD_PICKLE)) and not _is_safetensors(start):
        content = _read_pickle(stream, source, size, apart=apart)
    elif _is_safetensors(start):
        metadata, content = _read_safetensors(stream, source, start, size)
        _check_tensors(content, size)
    else:
        raise not_weights(start)
    return WeightFile(content, metadata, _sha256(stream), size)


def _read_pickle(stream: IO[bytes], source: Path | bytes, size: int, *, apart: bool) -> Any:
    data: bytearray | mmap.mmap
    if isinstance(source, bytes):
        data = bytearray(source)
    else:
        # Private: torch wants tensors that can be written; what is written never reaches the file.
        data = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY)
    if apart:
        opened = open_apart(source if isinstance(source, bytes) else stream)
    else:
        opened = open_data(memoryview(data))
    return build_content(opened, data, size)


def _is_safetensors(start: bytes) -> bool:
    return len(start) >= 9 and start[8:9] == b"{" and not start.startswith(b"\x80\x02")


def _read_safetensors(
    stream: IO[bytes], source: Path | bytes, start: bytes, size: int
) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    length = int.from_bytes(start[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"The safetensors file claims a header of {length:,} bytes; the limit is "
            f"{MAX_HEADER_BYTES:,}. The file is damaged or is of another type."
        )
    if 8 + length > size:
        raise CheckpointError("The safetensors file ends within its header. Download it again.")
    try:
        if isinstance(source, bytes):
            tensors = load(source)
            _check_count(len(tensors))
            stream.seek(8)
            return _texts(json.loads(stream.read(length)).get("__metadata__")), tensors
        with safe_open(str(source), framework="pt") as opened:
            _check_count(len(opened.keys()))
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            return _texts(opened.metadata()), tensors
    except (SafetensorError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The safetensors file is damaged or cut off ({shortened(str(error))}). Download or "
            "copy it again."
        ) from error


def _check_count(tensors: int) -> None:
    if tensors > MAX_TENSORS:
        raise CheckpointError(
            f"The file holds {tensors:,} tensors; the limit is {MAX_TENSORS:,}, and no network for "
            "images has so many."
        )


def _texts(metadata: Any) -> dict[str, str]:
    return dict(metadata) if isinstance(metadata, dict) else {}


def _check_tensors(tensors: Mapping[str, torch.Tensor], size: int) -> None:
    """Refuse tensors that claim more than the file holds, and those that are no plain numbers."""
    budget = Budget(size)
    for tensor in tensors.values():
        check_type(tensor.dtype)
        budget.spend(tensor.numel() * tensor.element_size())


def _sha256(stream: IO[bytes]) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
