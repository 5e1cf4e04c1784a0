"""Slices of NIfTI volumes; of packed ones no more is unpacked than the slice that is meant."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import ImageError
from cbam_viz.images.depth import Depth
from cbam_viz.images.memory import MAX_MEMORY
from cbam_viz.images.scan import Scan, check_size, chosen_slice, package

GZIP = b"\x1f\x8b"
_GZIPPED, _PIECE = 31, 1 << 14
"""zlib's word for gzip, and how much is unpacked at a time."""
_HEADER = 540
"""Bytes of the longer header, NIfTI-2's."""
_ONE, _TWO = (344, (b"n+1\0", b"ni1\0")), (4, (b"n+2\0", b"ni2\0"))
"""Where a header has its magic (NIfTI-1, section h; NIfTI-2), and which; the second is of a header
whose numbers lie in a file beside it."""


def is_nifti(data: bytes) -> bool:
    """Whether a file begins as NIfTI does, packed or not."""
    head = _start(data, _HEADER)
    return any(head[place : place + 4] in magic for place, magic in (_ONE, _TWO))


def _start(data: bytes, length: int) -> bytes:
    """The first bytes of what a file holds; fewer where it is cut off or damaged."""
    if not data.startswith(GZIP):
        return data[:length]
    found, at, unpacker = bytearray(), 0, zlib.decompressobj(wbits=_GZIPPED)
    while at < len(data) and len(found) < length:
        piece = data[at : at + _PIECE]
        try:
            found += unpacker.decompress(piece, length - len(found))
        except zlib.error:
            break
        at += len(piece) - len(unpacker.unconsumed_tail) - len(unpacker.unused_data)
        if unpacker.eof:  # many programs write one packed part after the other
            unpacker = zlib.decompressobj(wbits=_GZIPPED)
    return bytes(found)


def read_nifti(data: bytes, title: str, index: int | None, max_pixels: float) -> Scan:
    """The slice `index` along the third axis, of the first volume. Raises ImageError."""
    nibabel = package("nibabel", title, "NIfTI")
    head = _start(data, _HEADER)
    two = head[4:8] in _TWO[1]
    if head[344:348] == _ONE[1][1] or head[4:8] == _TWO[1][1]:
        raise ImageError(
            f"{title} is the header of a NIfTI scan whose numbers lie in a file beside it (.img). "
            "Save both as one .nii file."
        )
    kind = nibabel.Nifti2Header if two else nibabel.Nifti1Header
    # Unchecked: checks write to standard error what they find odd.
    header = kind(head[: kind.template_dtype.itemsize], check=False)
    shape = tuple(int(side) for side in header.get_data_shape())
    if len(shape) < 2 or min(shape) < 1:
        raise ImageError(
            f"{title} is no volume of slices: its shape is {shape}. Choose another file."
        )
    _check_type(header, title)
    check_size(shape[:2], title, max_pixels)
    chosen = chosen_slice(index, shape[2] if len(shape) > 2 else 1, title)
    array = _slice(data, header, (shape[0], shape[1]), chosen, title)
    notes, number = _told(shape, chosen)
    return Scan(array, _depth(header, array), "NIfTI", notes, number)


def _check_type(header: Any, title: str) -> None:
    code = int(header["datatype"])
    try:
        dtype = header.get_data_dtype()
    except KeyError:
        dtype = np.dtype("V1")
    if dtype.kind == "c":
        raise ImageError(
            f"{title} holds complex numbers, which are no picture. Save their magnitude as a "
            "volume of its own."
        )
    if dtype.names is None and dtype.kind not in "biuf":
        raise ImageError(
            f"{title} holds values of a type that is not read (NIfTI's code {code}). Save them as "
            "16-bit integers or 32-bit floats."
        )


def _slice(
    data: bytes, header: Any, shape: tuple[int, int], chosen: int, title: str
) -> npt.NDArray[Any]:
    """The slice (H, W) or, in colours, (H, W, C); the first axis runs fastest in the file."""
    dtype, count = header.get_data_dtype(), math.prod(shape)
    start = int(header["vox_offset"]) or header.single_vox_offset
    if start < 0:
        raise ImageError(
            f"{title} is damaged: its numbers would begin before it. Save or download it again."
        )
    start += count * chosen * dtype.itemsize
    stored = _up_to(data, start + count * dtype.itemsize, title)
    array = np.frombuffer(stored, dtype, count, start).reshape(shape, order="F")
    if dtype.names is not None:
        return np.stack([array[name] for name in dtype.names], -1)
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1, 0):
        return array
    scaled: npt.NDArray[Any] = array * np.float64(slope) + intercept
    return scaled


def _up_to(data: bytes, needed: int, title: str) -> bytes:
    """So many bytes of what the file holds, and no more where it is packed."""
    if needed > MAX_MEMORY:
        raise ImageError(
            f"{title} would have to be read as far as {needed / 1e9:.1f} GB for this slice; the "
            f"limit is {MAX_MEMORY / 1e9:g} GB. Save the slice alone."
        )
    found = _start(data, needed)
    if len(found) < needed:
        raise ImageError(
            f"{title} is cut off: its header tells of a slice that ends at byte {needed:,}, and it "
            f"has {len(found):,}. Save or download it again."
        )
    return found


def _depth(header: Any, array: npt.NDArray[Any]) -> Depth | None:
    if array.ndim > 2:
        return None
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return Depth(None, window=(low, high) if math.isfinite(low + high) and low < high else None)


def _told(shape: tuple[int, ...], chosen: int) -> tuple[tuple[str, ...], int | None]:
    """Which slice it is, as a note and as a number; nothing of a single picture."""
    if len(shape) < 3:
        return (), None
    volumes = math.prod(shape[3:])
    more = f", of the first of {volumes} volumes" if volumes > 1 else ""
    note = f"Slice {chosen} of {shape[2]} along the third axis (from 0), rows and columns as stored"
    return (f"{note}{more}.",), chosen
