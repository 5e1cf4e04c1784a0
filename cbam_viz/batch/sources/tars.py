"""Photos in tar archives: WebDataset's samples, and plain archives of folders.

A sample is a run of members whose names agree up to the first dot of their last part:
`a/0012.jpg`, `a/0012.cls`, `a/0012.json`. Members are found once and read by their place in the
file; nothing is unpacked.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath

from cbam_viz._suffixes import is_photo_name
from cbam_viz.batch.sources.item import Item
from cbam_viz.errors import ImageError

MAX_SIDECAR = 1_000_000
"""Bytes of a label's file; a larger one is none."""
LABEL_ENDINGS = (".cls", ".label", ".class", ".target")
LABEL_KEYS = ("label", "class", "cls", "class_name", "category")
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")


def is_tar(name: str) -> bool:
    """Whether a file of this name is taken for an archive of photos."""
    return name.lower().endswith((".tar", *(f".tar{end}" for end in _COMPRESSED), ".tgz"))


def photos_in_tar(path: Path, below: str) -> Iterator[Item]:
    """Yield an archive's photos in their order; names begin with `below`.

    Raises ImageError for a file that is no tar, or is compressed or cut off.
    """
    if path.name.lower().endswith(_COMPRESSED):
        raise ImageError(
            f"{path} is compressed, so that its photos cannot be read by their place. Unpack it "
            "to a .tar (gunzip, unxz, zstd -d), which JPEGs do not make larger."
        )
    try:
        with tarfile.open(path, "r:") as archive, path.open("rb") as stream:
            for _, members in groupby(_files(archive), key=lambda member: _key(member.name)):
                yield from _sample(list(members), str(path), below, stream)
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):  # where tarfile stops without a word
                raise tarfile.ReadError(f"byte {archive.offset:,} begins no member")
    except (tarfile.TarError, EOFError) as error:
        raise ImageError(
            f"{path} is no tar archive, or is cut off ({error}). Get it again."
        ) from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        archive.members = []  # type: ignore[attr-defined]  # or every member stays in memory
        if member.isreg() and not PurePosixPath(member.name).name.startswith("."):
            yield member


def _key(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _sample(
    members: list[tarfile.TarInfo], path: str, below: str, stream: object
) -> Iterator[Item]:
    photos = [member for member in members if is_photo_name(member.name)]
    if not photos:
        return
    label = next(filter(None, (_label(member, stream) for member in members)), None)
    for member in photos:
        name = member.name.removeprefix("./")
        yield Item(f"{below}/{name}", "tar", path, label, member.offset_data, member.size)


def _label(member: tarfile.TarInfo, stream: object) -> str | None:
    """What a file beside the photo says of its class; None if it says nothing."""
    ending = PurePosixPath(member.name.lower().removesuffix(".txt")).suffix
    if ending not in (*LABEL_ENDINGS, ".json") or member.size > MAX_SIDECAR:
        return None
    stream.seek(member.offset_data)  # type: ignore[attr-defined]
    text = stream.read(member.size).decode("utf-8", "replace").strip()  # type: ignore[attr-defined]
    if ending in LABEL_ENDINGS:
        return text or None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    known = {key.lower(): one for key, one in told.items()} if isinstance(told, dict) else {}
    found = next((known[key] for key in LABEL_KEYS if key in known), None)
    return str(found) if isinstance(found, (str, int)) else None
