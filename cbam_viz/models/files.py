"""Opening weight files safely: safetensors, and PyTorch files without running what is in them.

Nothing here unpickles freely. A file's real type is read from its first bytes; its sizes are
checked against its length before anything is allocated.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.pickles import HOW_TO_CONVERT, check_pickle, needs_unpickling

MAX_BYTES = 8 * 1024**3
"""Larger files are refused."""
MAX_HEADER_BYTES = 16 * 1024**2
"""Largest header of a safetensors file; real ones have some 100 kB."""
_MAX_PICKLE_BYTES = 64 * 1024**2
_MAX_ENTRIES = 100_000
_CHUNK = 1024**2

_NUMBERS = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16,
        torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.bool,
        torch.uint8, torch.uint16, torch.uint32, torch.uint64,
    }
)  # fmt: skip
"""Types of tensors that a checkpoint may hold; those of weights must be floating-point."""

_NOT_WEIGHTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (b"<!DOCTYPE", "a web page, not weights: the download link led to a page"),
    (b"<html", "a web page, not weights: the download link led to a page"),
    (b"\x89HDF", "a Keras/HDF5 file; only PyTorch weights can be read"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
    (b"GGUF", "a GGUF language model"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"ELF", "a program"),
    (b"\x7fELF", "a program"),
)


@dataclass(frozen=True)
class WeightFile:
    """The content of a file: what its author saved, tensors on the CPU."""

    content: Any
    """A dictionary as a rule; may be nested."""
    metadata: Mapping[str, str]
    """The text entries of a safetensors header; empty for other files."""
    sha256: str
    size: int
    """Length of the file in bytes."""


def read_weights(source: Path | bytes, *, folder: Path | None = None) -> WeightFile:
    """Read a .safetensors, .pth or .pt file without running anything in it.

    With `folder`, the file must lie in it, symbolic links followed. Memory is bounded by the
    file's length; tensors of a path are mapped from the disk where the format allows it.

    Raises
    ------
    CheckpointError
        The file is missing, empty, truncated, of another type, needs unpickling, or claims sizes
        that it does not have.
    """
    size = len(source) if isinstance(source, bytes) else _check_path(source, folder)
    if size == 0:
        raise CheckpointError("The checkpoint file is empty (0 bytes). Download or copy it again.")
    if size > MAX_BYTES:
        raise CheckpointError(f"The file has {size / 1e9:.1f} GB; the limit is 8 GB.")
    try:
        if isinstance(source, bytes):
            return _read(io.BytesIO(source), source, size)
        with source.open("rb") as stream:
            file = _read(stream, source, size)
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


def _read(stream: IO[bytes], source: Path | bytes, size: int) -> WeightFile:
    start = stream.read(512)
    metadata: Mapping[str, str] = {}
    if start.startswith(b"PK\x03\x04"):
        _check_zip(stream, size)
        content = _torch_load(stream, source, mapped=True)
    elif _is_safetensors(start, size):
        metadata, content = _read_safetensors(stream, source, start, size)
    elif start.startswith(b"\x80"):
        stream.seek(0)
        for _ in range(5):  # magic number, protocol, system, content, storage keys
            check_pickle(stream, size)
        content = _torch_load(stream, source, mapped=False)
    else:
        raise _not_weights(start)
    _check_tensors(content, size)
    return WeightFile(content, metadata, _sha256(stream), size)


def _not_weights(start: bytes) -> CheckpointError:
    for magic, what in _NOT_WEIGHTS:
        if start.lstrip().startswith(magic):
            return CheckpointError(f"The file is {what}.")
    if start[257:262] == b"ustar":
        return CheckpointError(
            f"The file is a tar archive, as PyTorch wrote before version 0.4; it cannot be opened "
            f"without running code in it. {HOW_TO_CONVERT}"
        )
    return CheckpointError(
        "The file is neither safetensors nor a PyTorch checkpoint (or it is cut off at the "
        "start). Give a .safetensors, .pth or .pt file."
    )


def _is_safetensors(start: bytes, size: int) -> bool:
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
            stream.seek(8)
            return _texts(json.loads(stream.read(length)).get("__metadata__")), tensors
        with safe_open(str(source), framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            return _texts(opened.metadata()), tensors
    except (SafetensorError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The safetensors file is damaged or cut off ({shortened(str(error))}). Download or "
            "copy it again."
        ) from error


def _texts(metadata: Any) -> dict[str, str]:
    return dict(metadata) if isinstance(metadata, dict) else {}


def _check_zip(stream: IO[bytes], size: int) -> None:
    """Check the directory of a zip before torch sees it: nothing packed, nothing overlapping."""
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise CheckpointError(f"The file lists {len(entries):,} parts; too many.")
            _refuse_scripts(entries)
            if any(entry.flag_bits & 1 for entry in entries):
                raise CheckpointError("The file is an encrypted zip archive: unpack it first.")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CheckpointError(
                    "The file is a compressed zip archive. PyTorch stores weights uncompressed, "
                    "so this was not written by torch.save: unpack it and give the file inside."
                )
            if sum(entry.file_size for entry in entries) > size:
                raise CheckpointError(
                    "The parts of the file claim more bytes than the file has. It is damaged or "
                    "made to exhaust memory."
                )
            _check_zip_pickle(archive, entries, size)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"The PyTorch file is damaged or cut off ({error}). Download or copy it again."
        ) from error


def _inner_names(entries: list[zipfile.ZipInfo]) -> list[str]:
    return [entry.filename.partition("/")[2] for entry in entries]


def _refuse_scripts(entries: list[zipfile.ZipInfo]) -> None:
    names = _inner_names(entries)
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise CheckpointError(
            "The file is a TorchScript program, not weights. Save the weights alone: "
            "torch.save(torch.jit.load(file).state_dict(), 'weights.pth')."
        )


def _check_zip_pickle(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], size: int) -> None:
    pickles = [entry for entry in entries if entry.filename.endswith(".pkl")]
    if "data.pkl" not in _inner_names(entries):
        raise CheckpointError(
            "The file is a zip archive without PyTorch weights in it. If it packs a checkpoint, "
            "unpack it first."
        )
    for entry in pickles:
        if entry.file_size > _MAX_PICKLE_BYTES:
            raise CheckpointError("The file's list of tensors is absurdly long; not opened.")
        with archive.open(entry) as stream:
            check_pickle(stream, size)


def _torch_load(stream: IO[bytes], source: Path | bytes, *, mapped: bool) -> Any:
    stream.seek(0)
    try:
        if mapped and isinstance(source, Path):
            return torch.load(source, map_location="cpu", weights_only=True, mmap=True)
        return torch.load(stream, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        text = str(error)
        unknown = re.search(r"Unsupported \w+[^\n]{0,100}|GLOBAL [^\n]{0,100}", text)
        if unknown is not None:
            raise needs_unpickling(unknown.group().rstrip(". ")) from error
        cause = text.partition("\n")[0][:120] or type(error).__name__
        raise CheckpointError(
            f"The PyTorch file is damaged or cut off ({cause}). Download or copy it again."
        ) from error


def _check_tensors(content: Any, size: int) -> None:
    """Refuse tensors that claim more than the file holds, and those that are no plain numbers."""
    total = 0
    for tensor in tensors_in(content):
        if tensor.dtype not in _NUMBERS:
            raise CheckpointError(
                f"The file holds tensors of type {str(tensor.dtype).removeprefix('torch.')}; only "
                "ordinary floating-point weights can be read."
            )
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
            raise CheckpointError(
                "The file holds sparse, quantised or empty tensors; only plain weights can be read."
            )
        total += tensor.numel() * tensor.element_size()
        if total > 4 * size + 1024**2:
            raise CheckpointError(
                f"The file's tensors claim more than {total / 1e6:,.0f} MB; it has "
                f"{size / 1e6:,.3f} MB. It is damaged or made to exhaust memory."
            )


def tensors_in(content: Any) -> list[torch.Tensor]:
    """Return every tensor in nested dictionaries, lists and tuples, each container once."""
    found: list[torch.Tensor] = []
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            found.append(item)
        elif isinstance(item, (Mapping, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item.values() if isinstance(item, Mapping) else item)
    return found


def _sha256(stream: IO[bytes]) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
