"""Checkpoints of more than one file: an index beside its shards, and the folders they are in.

Hugging Face's libraries write `model.safetensors.index.json`, whose `weight_map` says of each
tensor in which file beside it the tensor lies. The index is as untrusted as the weights: it names
plain files beside it and nothing else, and each tensor must lie where it says and nowhere else.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from cbam_viz._schema import MismatchError, checked, read_json
from cbam_viz._suffixes import INDEX, is_checkpoint_name
from cbam_viz._text import few, quoted, shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.files import (
    MAX_BYTES,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    WeightFile,
    read_weights,
)
from cbam_viz.models.kinds import UPLOADS, folder_without_weights

MAX_SHARDS = 256

_USUAL = tuple(
    f"{stem}.{ending}{index}"
    for stem, ending in (
        ("model", "safetensors"),
        ("diffusion_pytorch_model", "safetensors"),
        ("pytorch_model", "bin"),
    )
    for index in ("", INDEX)
)
"""What the weights of a folder are called, by preference."""

_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})(\.[a-z]+)", re.ASCII)


class _Index(Struct):
    weight_map: dict[str, str]


def is_index(path: Path) -> bool:
    """Whether a file of this name is taken for an index of shards."""
    return path.name.lower().endswith(INDEX) and not path.name.startswith(".")


def is_part(name: str) -> bool:
    """Whether a file of this name is one of several shards, of no use alone."""
    part = _PART.fullmatch(name)
    return part is not None and int(part[2]) > 1


def read_checkpoint(
    source: Path | bytes,
    *,
    name: str | None = None,
    folder: Path | None = None,
    apart: bool = False,
) -> WeightFile:
    """Read what `read_weights` reads, and an index with the shards that it names.

    Parameters are those of `read_weights`; `name` is what bytes were called. Of shards, `size` is
    that of all of them and `sha256` the digest of their names and digests.

    Raises:
        CheckpointError: as `read_weights`; the index is none, names what does not lie beside it, or
            shards lack tensors, hold others, or hold one twice.
    """
    if isinstance(source, bytes):
        if is_part(name or ""):
            raise CheckpointError(f"{_alone(name or '')} {UPLOADS}")
        return read_weights(source, apart=apart)
    if is_part(source.name) and source.is_file():
        raise CheckpointError(f"{_alone(source.name)} Give their folder, or their index.")
    if not is_index(source):
        return read_weights(source, folder=folder, apart=apart)
    wanted = _wanted(source, folder)
    _check_files(source, wanted)
    tensors: dict[str, Any] = {}
    texts: dict[str, str] = {}
    digest, size = hashlib.sha256(), 0
    for file in sorted(wanted):
        shard = _read_shard(source.with_name(file), folder=folder, apart=apart)
        _check_shard(file, shard.content, wanted[file], source.name)
        tensors.update(shard.content)
        texts.update(shard.metadata)
        digest.update(f"{shard.sha256}  {file}\n".encode())
        size += shard.size
    note = f"The weights were read from {len(wanted)} files, as {shortened(source.name)} says."
    return WeightFile(tensors, texts, digest.hexdigest(), size, (note,))


def _alone(name: str) -> str:
    return f"{shortened(name)} is one of several shards of a checkpoint, a part of a network."


def _read_shard(path: Path, *, folder: Path | None, apart: bool) -> WeightFile:
    try:
        return read_weights(path, folder=folder, apart=apart)
    except CheckpointError as error:
        raise CheckpointError(f"The shard {shortened(path.name)}: {error}") from error


def _wanted(path: Path, folder: Path | None) -> dict[str, set[str]]:
    """Return the names of the tensors of each shard."""
    named = shortened(path.name)
    if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
        raise CheckpointError(f"{named} leads out of the folder {folder.name}; not opened.")
    try:
        if path.stat().st_size > MAX_HEADER_BYTES:
            raise CheckpointError(f"{named} is too large for an index of shards.")
        index = checked(read_json(path.read_bytes()), _Index)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except MismatchError as error:
        raise CheckpointError(
            f"{named} is no index of a checkpoint's shards ({error}). Give the .safetensors, .pth "
            "or .pt file of the weights."
        ) from error
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for tensor, shard in index.weight_map.items():
        wanted[shard].add(tensor)
    for shard in wanted:
        if not is_checkpoint_name(shard) or any(mark in shard for mark in "/\\:\0"):
            raise CheckpointError(
                f"{named} names {quoted(shard)}, which is no plain name of a file of weights "
                "beside it; not opened."
            )
    if not wanted:
        raise CheckpointError(f"{named} names no tensors.")
    if len(wanted) > MAX_SHARDS or len(index.weight_map) > MAX_TENSORS:
        raise CheckpointError(
            f"{named} names {len(index.weight_map):,} tensors in {len(wanted):,} files; at most "
            f"{MAX_TENSORS:,} in {MAX_SHARDS} are read, and no network for images has so many."
        )
    return wanted


def _check_files(index: Path, names: Iterable[str]) -> None:
    """Refuse shards that are not there, or too large together, before one is read."""
    paths = [index.with_name(name) for name in sorted(names)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        do = "does" if len(missing) == 1 else "do"
        raise CheckpointError(
            f"{shortened(index.name)} names {few(missing)}, which {do} not lie beside it. Put all "
            "shards into the folder of their index."
        )
    size = sum(path.stat().st_size for path in paths)
    if size > MAX_BYTES:
        raise CheckpointError(
            f"The shards of {shortened(index.name)} have {size / 1e9:.1f} GB; the limit is 8 GB."
        )


def _check_shard(name: str, content: Any, wanted: set[str], index: str) -> None:
    """Refuse a shard that does not hold just the tensors that its index says are in it."""
    given = set(content) if isinstance(content, dict) else set()
    named = shortened(index)
    for what, said, odd in (
        ("lacks", f"which {named} says is in it", wanted - given),
        ("holds", f"which {named} does not say", given - wanted),
    ):
        if odd:
            names = few(sorted(map(str, odd)), shown=2)
            raise CheckpointError(
                f"The shard {shortened(name)} {what} {names}, {said}: shards and index are not of "
                "one checkpoint. Download or copy all of them again."
            )


def checkpoint_path(source: Path) -> Path:
    """Return the file to read: of a folder its index or its one file of weights, else `source`.

    Raises:
        CheckpointError: the folder has no weights, or several and none by a usual name.
    """
    if not source.is_dir():
        return source
    found = list(checkpoints_in(source))
    usual = [path for name in _USUAL for path in found if path.name == name]
    if usual or len(found) == 1:
        return (usual or found)[0]
    if not found:
        raise folder_without_weights(source)
    raise CheckpointError(
        f"{source} is a folder of several checkpoints ({few([path.name for path in found])}). "
        "Name the one that is meant."
    )


def checkpoints_in(folder: Path) -> Iterator[Path]:
    """The checkpoints directly in a folder by name: files of weights and indices, no lone shards.

    Raises CheckpointError if the folder cannot be listed.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be listed: {error.strerror}.") from error
    for path in paths:
        if is_index(path) or (is_checkpoint_name(path.name) and not is_part(path.name)):
            yield path


def files_of(path: Path) -> list[Path]:
    """What a checkpoint of this path consists of, as far as it is there: its index and shards.

    Raises CheckpointError as `checkpoint_path` and `read_checkpoint`.
    """
    path = checkpoint_path(path)
    shards = sorted(_wanted(path, None)) if is_index(path) else []
    return [path, *(file for name in shards if (file := path.with_name(name)).is_file())]


def named_after(source: Path) -> Path:
    """The file or folder by which a checkpoint is called: weights of a usual name by its folder."""
    if source.is_dir():
        return source.resolve()
    return source.resolve().parent if is_index(source) and source.name in _USUAL else source


def is_checkpoint_folder(path: Path) -> bool:
    """Whether a folder holds one checkpoint, as Hugging Face's do: weights of a usual name."""
    return path.is_dir() and any((path / name).is_file() for name in _USUAL)
