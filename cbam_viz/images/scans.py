"""Files of raw numbers: NumPy arrays, DICOM images and slices of NIfTI volumes.

DICOM needs the package pydicom and NIfTI needs nibabel (`pip install "cbam-viz[scans]"`). What they
declare of black and white is used; nothing is scaled by a file's own brightest value.
"""

from __future__ import annotations

import importlib
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import ImageError
from cbam_viz.images.depth import Depth, Window
from cbam_viz.images.memory import MAX_MEMORY

EXTRA = 'pip install "cbam-viz[scans]"'
_NUMPY, _DICOM, _GZIP = b"\x93NUMPY", b"DICM", b"\x1f\x8b"
_NIFTI = ((344, (b"n+1\0", b"ni1\0")), (4, (b"n+2\0", b"ni2\0")))
"""Where a NIfTI header has its magic (NIfTI-1, section h; NIfTI-2), and which."""


@dataclass(frozen=True)
class Scan:
    """The numbers of a file, and what it declares of them."""

    array: npt.NDArray[Any]
    """(H, W) or (H, W, C)."""
    depth: Depth | None
    """None: what an array of this type declares."""
    format: str
    notes: tuple[str, ...] = ()
    index: int | None = None
    """Which slice of a volume it is, from 0; None where the file is none."""


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
    if data[128:132] == _DICOM:
        return "DICOM"
    head = data[:352]
    if data.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(data, 352)
        except zlib.error:
            return None
    is_nifti = any(head[place : place + 4] in magic for place, magic in _NIFTI)
    return "NIfTI" if is_nifti else None


def _read_array(data: bytes, title: str, index: int | None, max_pixels: float) -> Scan:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ImageError(
            f"{title} is no picture: it holds an array of type {dtype}. Save numbers by numpy.save."
        )
    _check_size(shape[:2], title, max_pixels)
    count = math.prod(shape)
    array = np.frombuffer(data, dtype, count, stream.tell())  # raises if the file has fewer
    array = array.reshape(shape, order="F" if fortran else "C")
    return Scan(array.astype(dtype.newbyteorder("="), copy=False), None, "NumPy array")


def _read_dicom(data: bytes, title: str, index: int | None, max_pixels: float) -> Scan:
    pydicom = _package("pydicom", title, "DICOM")
    pixels = importlib.import_module("pydicom.pixels")
    header = pydicom.dcmread(io.BytesIO(data))
    if "Rows" not in header or "Columns" not in header:
        raise ImageError(f"{title} is a DICOM file without a picture. Choose another one.")
    _check_size((int(header.Rows), int(header.Columns)), title, max_pixels)
    kind = str(header.get("PhotometricInterpretation", ""))
    if kind.startswith("PALETTE"):
        raise ImageError(f"{title} has the colours of a palette. Save it as a PNG.")
    count = int(header.get("NumberOfFrames") or 1)
    chosen = _chosen(index, count, title)
    values = pixels.pixel_array(io.BytesIO(data), index=chosen if count > 1 else None)
    colour = int(header.get("SamplesPerPixel", 1)) > 1
    array, depth = (values, None) if colour else _calibrated(header, values, kind)
    frame = (f"Frame {chosen} of {count} (from 0).",) if count > 1 else ()
    notes = frame if colour else (*frame, *_left_aside(header))
    return Scan(array, depth, "DICOM", notes, chosen if count > 1 else None)


def _calibrated(header: Any, values: Any, kind: str) -> tuple[npt.NDArray[Any], Depth]:
    """Values by the modality's rescaling, and what is declared of black and white (PS3.3, C.11)."""
    inverted, window = kind == "MONOCHROME1", _declared_window(header)
    if header.get("ModalityLUTSequence"):  # in place of slope and intercept
        table = header.ModalityLUTSequence[0]
        apply = importlib.import_module("pydicom.pixels").apply_modality_lut
        most = 2.0 ** int(table.LUTDescriptor[2]) - 1
        return apply(values, header), Depth(most, inverted=inverted, window=window)
    slope = float(header.get("RescaleSlope", 1) or 1)
    intercept = float(header.get("RescaleIntercept", 0) or 0)
    raw = (slope, intercept) == (1, 0)
    array = values if raw else values.astype(np.float32) * slope + intercept
    spans = raw and not int(header.get("PixelRepresentation", 0))
    white = 2.0 ** int(header.BitsStored) - 1 if spans else None
    return array, Depth(white, inverted=inverted, window=window)


def _left_aside(header: Any) -> tuple[str, ...]:
    """What the file says of contrast beside two ends with a straight line between them."""
    if _declared_window(header) is None:
        table = "Its table of contrasts (VOI LUT) was left aside."
        return (table,) if "VOILUTSequence" in header else ()
    curved = "Its window is curved (SIGMOID), and was taken as a straight line."
    return (curved,) if header.get("VOILUTFunction", "LINEAR") == "SIGMOID" else ()


def _declared_window(header: Any) -> Window | None:
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 1:
        return None
    if header.get("VOILUTFunction", "LINEAR") == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return centre - width / 2, centre + width / 2


def _first(value: Any) -> float | None:
    """The first of several values."""
    several = value is not None and not isinstance(value, (str, int, float)) and len(value) > 0
    one = value[0] if several else value
    number = None if one is None else float(one)
    return number if number is not None and math.isfinite(number) else None


def _read_nifti(data: bytes, title: str, index: int | None, max_pixels: float) -> Scan:
    nibabel = _package("nibabel", title, "NIfTI")
    if data.startswith(_GZIP):
        unpacker = zlib.decompressobj(wbits=31)
        data = unpacker.decompress(data, MAX_MEMORY)
        if unpacker.unconsumed_tail:
            raise ImageError(
                f"{title} has more than {MAX_MEMORY / 1e9:g} GB unpacked. Save the slice alone."
            )
    two = data[4:8] in _NIFTI[1][1]
    image = (nibabel.Nifti2Image if two else nibabel.Nifti1Image).from_bytes(data)
    shape = tuple(int(side) for side in image.shape)
    if len(shape) < 2 or image.get_data_dtype().kind not in "biuf":
        raise ImageError(f"{title} holds no slices of numbers. Choose another file.")
    _check_size(shape[:2], title, max_pixels)
    count = shape[2] if len(shape) > 2 else 1
    chosen = _chosen(index, count, title)
    place = (slice(None), slice(None), chosen)[: len(shape)] + (0,) * (len(shape) - 3)
    array = np.asarray(image.dataobj[place])
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    more = "" if len(shape) < 4 or shape[3] == 1 else f", of the first of {shape[3]} volumes"
    note = f"Slice {chosen} of {count} along the third axis (from 0), rows and columns as stored"
    window = (low, high) if math.isfinite(low + high) and low < high else None
    notes = (f"{note}{more}.",) if len(shape) > 2 else ()
    return Scan(
        array, Depth(None, window=window), "NIfTI", notes, chosen if len(shape) > 2 else None
    )


def _chosen(index: int | None, count: int, title: str) -> int:
    """The slice that is meant; the middle one where none is named."""
    if index is not None and not 0 <= index < count:
        raise ImageError(f"{title} has no slice {index}: there are {count}, counted from 0.")
    return count // 2 if index is None else index


def _check_size(size: tuple[int, ...], title: str, max_pixels: float) -> None:
    if math.prod(size) > max_pixels:
        raise ImageError(
            f"{title} has {math.prod(size) / 1e6:.1f} megapixels; the limit is "
            f"{max_pixels / 1e6:g} megapixels. Make the picture smaller."
        )


def _package(name: str, title: str, kind: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImageError(
            f"{title} is a {kind} file, which needs the package {name}: {EXTRA}."
        ) from None


_READERS: dict[str, Callable[[bytes, str, int | None, float], Scan]] = {
    "a NumPy array": _read_array,
    "DICOM": _read_dicom,
    "NIfTI": _read_nifti,
}
