"""Files of raw numbers: NumPy arrays, DICOM images and slices of NIfTI volumes.

DICOM needs the package pydicom and NIfTI needs nibabel (`pip install "cbam-viz[scans]"`). What they
declare of black and white is used; nothing is scaled by a file's own brightest value.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np

from cbam_viz.errors import ImageError
from cbam_viz.images.dicom import is_dicom, read_dicom
from cbam_viz.images.nifti import is_nifti, read_nifti
from cbam_viz.images.scan import Scan, check_size

_NUMPY = b"\x93NUMPY"


def read_scan(data: bytes, title: str, index: int | None, max_pixels: float) -> Scan | None:
    """Read a scan's numbers; None for files that are no scan. Raises ImageError."""
    kind = _kind(data)
    if kind is None:
        return None
    try:
        return _READERS[kind](data, title, index, max_pixels)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # what parsers raise at damaged files is anything
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"{title} cannot be decoded as {kind}: {cause}. Save it again.") from error


def _kind(data: bytes) -> str | None:
    """What a file is by its first bytes, of `_READERS`."""
    if data.startswith(_NUMPY):
        return "a NumPy array"
    if is_dicom(data):
        return "DICOM"
    return "NIfTI" if is_nifti(data) else None


def _read_array(data: bytes, title: str, index: int | None, max_pixels: float) -> Scan:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(stream)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        # Its own words are about trust and options, or are those of Python's parser.
        raise ImageError(
            f"{title} cannot be decoded as a NumPy array: its header is damaged. Save it again."
        ) from error
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ImageError(
            f"{title} is no picture: it holds an array of type {dtype}. Save numbers by numpy.save."
        )
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ImageError(
            f"{title} cannot be decoded as a NumPy array: its shape is impossible. Save it again."
        )
    check_size(shape[:2], title, max_pixels)
    count = math.prod(shape)
    if count * dtype.itemsize > len(data) - stream.tell():
        raise ImageError(
            f"{title} cannot be decoded as a NumPy array: its header tells of {count:,} numbers, "
            "and it ends before them. Save or download it again."
        )
    array = np.frombuffer(data, dtype, count, stream.tell())
    array = array.reshape(shape, order="F" if fortran else "C")
    return Scan(array.astype(dtype.newbyteorder("="), copy=False), None, "NumPy array")


_READERS: dict[str, Callable[[bytes, str, int | None, float], Scan]] = {
    "a NumPy array": _read_array,
    "DICOM": read_dicom,
    "NIfTI": read_nifti,
}
