"""DICOM images, a frame at a time: values as the modality scales them, and what is black and white.

Enhanced multi-frame files say these of each frame, or once for all (PS3.3, C.7.6.16); older ones
say them of the file.
"""

from __future__ import annotations

import importlib
import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import ImageError
from cbam_viz.images.depth import Depth, Window
from cbam_viz.images.scan import Scan, check_size, chosen_slice, package

_MAGIC = b"DICM"
_BARE = (b"\x02\0", b"\x08\0")
"""Groups with which files begin that lack the preamble."""
_PLUGINS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


def is_dicom(data: bytes) -> bool:
    """Whether a file begins as DICOM does, with the preamble that the standard asks for or not."""
    if data[128:132] == _MAGIC:
        return True
    kind, length = data[4:6], int.from_bytes(data[4:8], "little")
    is_element = (kind.isalpha() and kind.isupper()) or (length < 256 and length % 2 == 0)
    return data[:2] in _BARE and len(data) > 8 and data[3:4] == b"\0" and is_element


def read_dicom(data: bytes, title: str, index: int | None, max_pixels: float) -> Scan:
    """The picture, or the frame `index` of several. Raises ImageError."""
    pydicom = package("pydicom", title, "DICOM")
    pixels = importlib.import_module("pydicom.pixels")
    bare = data[128:132] != _MAGIC
    header = pydicom.dcmread(io.BytesIO(data), force=bare)
    if bare and "TransferSyntaxUID" not in header.file_meta:
        header.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    if "Rows" not in header or "Columns" not in header:
        raise ImageError(
            f"{title} is a DICOM file without a picture, or cut off before it. Choose another one."
        )
    check_size((int(header.Rows), int(header.Columns)), title, max_pixels)
    count = int(header.get("NumberOfFrames") or 1)
    chosen = chosen_slice(index, count, title)
    _check_decoder(pixels, header, title)
    values = pixels.pixel_array(header, index=chosen if count > 1 else None)
    kind = str(header.get("PhotometricInterpretation", ""))
    said = _Said(header, chosen)
    depth: Depth | None = None
    notes: tuple[str, ...] = ()
    if kind.startswith("PALETTE"):
        array = pixels.apply_color_lut(values, header)
    elif int(header.get("SamplesPerPixel", 1)) > 1:
        array = values
    else:
        array, depth = _calibrated(header, said, values, inverted=kind == "MONOCHROME1")
        notes = _left_aside(said)
    frame = (f"Frame {chosen} of {count} (from 0).",) if count > 1 else ()
    return Scan(array, depth, "DICOM", (*frame, *notes), chosen if count > 1 else None)


def _check_decoder(pixels: Any, header: Any, title: str) -> None:
    """Raise ImageError for a compression that cannot be decoded here, and say what decodes it."""
    syntax = header.file_meta.TransferSyntaxUID
    name = getattr(syntax, "name", syntax)
    try:
        decoder = pixels.get_decoder(syntax)
    except (NotImplementedError, ValueError):
        raise ImageError(
            f"{title} is compressed in a way that cannot be decoded ({name}). Save the picture or "
            "the frame uncompressed, or as a PNG."
        ) from None
    if not decoder.is_available:
        raise ImageError(
            f"{title} is compressed as {name}, for which packages are missing: {_PLUGINS}. Or save "
            "it uncompressed."
        )


class _Said:
    """What a file says of one frame: of this one, of all of them, or of the file as a whole."""

    def __init__(self, header: Any, frame: int) -> None:
        each = header.get("PerFrameFunctionalGroupsSequence") or []
        self._groups = [
            *each[frame : frame + 1],
            *(header.get("SharedFunctionalGroupsSequence") or [])[:1],
        ]
        self._header = header

    def of(self, sequence: str) -> Any:
        """The entries that stand in this sequence of a functional group."""
        for group in self._groups:
            if found := group.get(sequence):
                return found[0]
        return self._header


def _calibrated(
    header: Any, said: _Said, values: Any, *, inverted: bool
) -> tuple[npt.NDArray[Any], Depth]:
    """Values by the modality's rescaling, and what is declared of black and white (PS3.3, C.11)."""
    window = _declared_window(said)
    if header.get("ModalityLUTSequence"):  # in place of slope and intercept
        table = header.ModalityLUTSequence[0]
        apply = importlib.import_module("pydicom.pixels").apply_modality_lut
        most = 2.0 ** int(table.LUTDescriptor[2]) - 1
        return apply(values, header), Depth(most, inverted=inverted, window=window)
    rescaling = said.of("PixelValueTransformationSequence")
    slope = float(rescaling.get("RescaleSlope", 1) or 1)
    intercept = float(rescaling.get("RescaleIntercept", 0) or 0)
    raw = (slope, intercept) == (1, 0)
    array = values if raw else values.astype(np.float32) * slope + intercept
    whole = values.dtype.kind != "f"
    spans = raw and whole and not int(header.get("PixelRepresentation", 0))
    white = 2.0 ** int(header.BitsStored) - 1 if spans else None
    return array, Depth(white, inverted=inverted, window=window)


def _left_aside(said: _Said) -> tuple[str, ...]:
    """What the file says of contrast beside two ends with a straight line between them."""
    contrast = said.of("FrameVOILUTSequence")
    if _declared_window(said) is None:
        table = "Its table of contrasts (VOI LUT) was left aside."
        return (table,) if "VOILUTSequence" in contrast else ()
    curved = "Its window is curved (SIGMOID), and was taken as a straight line."
    return (curved,) if contrast.get("VOILUTFunction", "LINEAR") == "SIGMOID" else ()


def _declared_window(said: _Said) -> Window | None:
    contrast = said.of("FrameVOILUTSequence")
    centre, width = (_first(contrast.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 1:
        return None
    if contrast.get("VOILUTFunction", "LINEAR") == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return centre - width / 2, centre + width / 2


def _first(value: Any) -> float | None:
    """The first of several values."""
    several = value is not None and not isinstance(value, (str, int, float)) and len(value) > 0
    one = value[0] if several else value
    number = None if one is None else float(one)
    return number if number is not None and math.isfinite(number) else None
