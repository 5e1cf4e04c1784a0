"""A stranger's picture, read in a process of its own: what programs do that serve others meanwhile.

`read_photo` has limits of its own, but decoders are large, and a picture can be made to keep one of
them busy. Here the process that decodes is stopped after `SECONDS`, or beyond `MEGABYTES`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import ImageError, LimitError
from cbam_viz.images.depth import Window
from cbam_viz.images.photo import Photo
from cbam_viz.images.reading import MAX_BYTES, label_of, read_photo
from cbam_viz.limited import run_limited

SECONDS = 5.0
"""Processor time; the slowest honest pictures of `MAX_MEGAPIXELS` take two."""
MEGABYTES = 1000
"""Of memory, decoded picture included."""

_LENGTH = struct.Struct("<Q")


def read_photo_apart(
    data: bytes,
    *,
    name: str | None = None,
    window: Window | None = None,
    seconds: float = SECONDS,
    megabytes: int = MEGABYTES,
) -> Photo:
    """`read_photo` of a file's bytes, in a process with limits. Raises ImageError."""
    title = label_of(name, data) or "The file"
    if not data or len(data) > MAX_BYTES:
        return read_photo(data, name=name, window=window)  # says so at once
    try:
        answer = run_limited(
            "cbam_viz.images.apart:_read",
            data,
            (name, window),
            seconds=seconds,
            megabytes=megabytes,
        )
    except LimitError as error:
        raise ImageError(
            f"{title} was not read: it {error}. Save it as a JPEG or PNG, or make it smaller."
        ) from error
    return _unpacked(answer)


def _read(stream: IO[bytes], name: str | None, window: Window | None) -> bytes:
    """In the other process: the photo as bytes, its description first."""
    photo = read_photo(stream.read(), name=name, window=window)
    values = photo.values
    about = {
        "size": photo.size,
        "name": photo.name,
        "sha256": photo.sha256,
        "format": photo.format,
        "notes": photo.notes,
        "levels": photo.levels,
        "index": photo.index,
        "window": photo.window,
        "values": None if values is None else [values.dtype.str, *values.shape],
        "profiled": photo.in_srgb is not None,
    }
    head = json.dumps(about).encode()
    pictures = [one for one in (photo.pixels, photo.in_srgb, values) if one is not None]
    parts: list[bytes | memoryview] = [_LENGTH.pack(len(head)), head]
    return b"".join([*parts, *(one.data for one in pictures)])


def _unpacked(answer: bytes) -> Photo:
    (length,) = _LENGTH.unpack_from(answer)
    start = _LENGTH.size + length
    about = json.loads(answer[_LENGTH.size : start])
    size = about["size"]
    pixels, start = _array(answer, start, "|u1", (*size, 3))
    in_srgb, values = None, None
    if about["profiled"]:
        in_srgb, start = _array(answer, start, "|u1", (*size, 3))
    if about["values"]:
        code, *shape = about["values"]
        values, start = _array(answer, start, code, shape)
    assert start == len(answer)
    return Photo(
        pixels=pixels,
        name=about["name"],
        sha256=about["sha256"],
        format=about["format"],
        notes=tuple(about["notes"]),
        in_srgb=in_srgb,
        values=values,
        index=about["index"],
        window=None if about["window"] is None else tuple(about["window"]),
        levels=None if about["levels"] is None else tuple(about["levels"]),
    )


def _array(
    answer: bytes, start: int, code: str, shape: Sequence[int]
) -> tuple[npt.NDArray[Any], int]:
    """An array of the answer, without copying it, and where the next one begins."""
    dtype, count = np.dtype(code), math.prod(shape)
    found = np.frombuffer(answer, dtype, count, start).reshape(shape)
    return found, start + count * dtype.itemsize
