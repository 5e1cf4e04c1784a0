"""Uploads, files and arrays as photos; whatever is wrong with them becomes one ImageError.

Files come from strangers: only the formats listed here are ever tried, size limits are checked on
the header before anything is decoded, and no global setting of Pillow is touched, as other threads
of the same process read pictures too.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from cbam_viz.errors import ImageError
from cbam_viz.images.colours import (
    no_window,
    packing_of_wide_colours,
    show_window,
    upper_bytes_note,
    wide_colours,
)
from cbam_viz.images.depth import Window, check_window, declared, sixteen_bits
from cbam_viz.images.drafting import Least, draft, placed
from cbam_viz.images.memory import check_memory
from cbam_viz.images.photo import Photo
from cbam_viz.images.profiles import as_meant
from cbam_viz.images.recognise import (
    content_differs,
    refuse_preview,
    say_damaged,
    say_unidentified,
    says_too_much,
)
from cbam_viz.images.rgb import Decoded, array_to_rgb, image_to_rgb, stand_in
from cbam_viz.images.scans import read_scan

_Number = TypeVar("_Number", bound=np.generic)
Source = bytes | bytearray | memoryview | str | Path | Image.Image | npt.NDArray[np.generic]

MAX_MEGAPIXELS = 64.0
"""Millions of pixels; the photos of most phones and cameras have 12 to 50. Decoding that many takes
0.4 to 0.9 GB for a moment; kinds of picture that would take more than 1 GB (`memory.py`), such as
large WebP, are refused before."""

MAX_BYTES = 100 * 1024 * 1024
"""Size of a file in bytes; JPEGs of 64 megapixels stay well below."""

MAX_SCANS = 100
"""Scans of a progressive JPEG. Encoders write about ten; a thousand empty ones would keep a small
file decoding for minutes."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "MPO", "AVIF", "HEIF")
"""What Pillow may try, in its names; those that an installation lacks are left out. Formats that
start other programs (EPS) or that nobody uploads stay closed."""

_TURNED = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "flipped upside down",
    5: "turned and mirrored",
    6: "turned by 90 degrees",
    7: "turned and mirrored",
    8: "turned by 90 degrees",
}


_TURN: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: np.rot90(values, -1),
    7: lambda values: values[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
"""What Pillow's `exif_transpose` does, to an array (H, W, C)."""

_SIDEWAYS = (5, 6, 7, 8)
"""Orientations in which height becomes width."""


@dataclass(frozen=True)
class _Asked:
    """What a caller allows and states."""

    max_megapixels: float
    max_bytes: int
    window: Window | None
    index: int | None = None
    buffered: bool = False
    """Whether nobody will look at it."""
    least: Least | None = None
    """Where a JPEG may be decoded smaller: how small, by its size."""


def read_photo(
    source: Source,
    *,
    name: str | None = None,
    window: Window | None = None,
    index: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    max_bytes: int = MAX_BYTES,
) -> Photo:
    """Read a picture from bytes, a path, a Pillow image or an array of RGB values.

    Files are photos of the usual formats, NumPy arrays (.npy), DICOM images and NIfTI volumes, of
    which the slice `index` is taken, from 0, or the middle one.

    The EXIF orientation is obeyed, transparency is put on white, and of several frames the first is
    taken. Values of more than 8 bits are brought to 8 by the depth that the file declares, or by
    `window`, the values that are black and white; photos of 8 bits are left as they are. Limits
    hold before decoding. Raises ImageError, and nothing else, with a sentence that can be shown as
    it stands.
    """
    return _photo_of(source, name, _Asked(max_megapixels, max_bytes, check_window(window), index))


def read_for_network(
    source: bytes | Path,
    *,
    name: str | None = None,
    window: Window | None = None,
    index: int | None = None,
    least: Least | None = None,
) -> Photo:
    """Read a file as `read_photo` does, for `prepare` alone, which makes the same input of it.

    Most pictures are left in Pillow's memory (`Photo.buffered`), and none is brought to the colours
    that its profile means, which saves a tenth of reading and preparing, with a profile more than
    half. `least` gives the height and width that a photo of some height and width must keep: the
    decoder then makes JPEGs smaller, which changes pixels. Raises ImageError.
    """
    limits = MAX_MEGAPIXELS, MAX_BYTES
    return _photo_of(source, name, _Asked(*limits, check_window(window), index, True, least))


def _photo_of(source: Source, name: str | None, asked: _Asked) -> Photo:
    try:
        return replace(_read(source, name, asked), window=asked.window)
    except MemoryError as error:
        raise ImageError(
            f"{label_of(name, source)} needs more memory than there is. Make the picture smaller."
        ) from error


def _read(source: Source, name: str | None, asked: _Asked) -> Photo:
    if isinstance(source, np.ndarray):
        return _from_array(source, name, asked)
    if isinstance(source, Image.Image):
        return _from_image(source, name, asked)
    label = label_of(name, source)
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif isinstance(source, str | Path):
        data = _file_bytes(source, label, asked.max_bytes)
    else:
        raise ImageError(
            f"A {type(source).__name__} is no picture. Give a path, the bytes of a file, a Pillow "
            "image or an array."
        )
    return _from_bytes(data, label, asked)


def label_of(name: str | None, source: object) -> str:
    """File name without folders and control characters, short enough for a sentence."""
    if name is None:
        name = str(source) if isinstance(source, str | Path) else getattr(source, "filename", "")
    last = str(name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable()).strip()
    return printable if len(printable) <= 100 else f"{printable[:60]}…{printable[-30:]}"


def _file_bytes(source: str | Path, label: str, max_bytes: int) -> bytes:
    """Content of a regular file; devices and pipes, which may never end, are refused."""
    if str(source).startswith(("http://", "https://")):
        raise ImageError("Web addresses are not fetched. Save the picture and give the file.")
    try:
        path = Path(source)
        if path.is_dir():
            raise ImageError(f"{label} is a folder. Choose a picture in it.")
        if path.exists() and not path.is_file():
            raise ImageError(f"{label} is not a regular file. Give the file of a picture.")
        if path.stat().st_size > max_bytes:
            raise too_many_bytes(label, path.stat().st_size, max_bytes)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"There is no file {label}. Check the path.") from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{label} cannot be opened: {error}. Check path and permissions."
        ) from error


def _from_bytes(data: bytes, label: str, asked: _Asked) -> Photo:
    title = label or "The file"
    if not data:
        raise ImageError(f"{title} is empty (0 bytes). Save or upload it again.")
    if len(data) > asked.max_bytes:
        raise too_many_bytes(title, len(data), asked.max_bytes)
    scan = read_scan(data, title, asked.index, asked.max_megapixels * 1e6)
    if scan is not None:
        decoded = array_to_rgb(scan.array, asked.window, title, scan.depth)
        decoded = replace(decoded, notes=scan.notes + decoded.notes)
        photo = _photo(decoded, label, hashlib.sha256(data).hexdigest(), scan.format)
        return replace(photo, index=scan.index)
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            _check_pixels(image.size, title, asked.max_megapixels)
            _check_scans(data, image.format, title)
            refuse_preview(image, data, title)
            content = image.format or "unknown"
            decoded, in_srgb = _decode(image, asked, title, data)
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(title, None, asked.max_megapixels) from error
    except UnidentifiedImageError as error:
        raise ImageError(say_unidentified(title, data)) from error
    except Exception as error:
        # Damaged files make Pillow's plugins raise almost anything: OSError, SyntaxError,
        # struct.error, zlib.error, EOFError, KeyError, OverflowError and more.
        raise ImageError(say_damaged(title, data, error)) from error
    if differs := content_differs(label, content):
        decoded = replace(decoded, notes=(*decoded.notes, differs))
    return _photo(decoded, label, hashlib.sha256(data).hexdigest(), content, in_srgb)


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this installation can decode."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _from_image(image: Image.Image, name: str | None, asked: _Asked) -> Photo:
    label = label_of(name, image)
    title = label or "The picture"
    if 0 in image.size:
        raise ImageError(f"{title} has no pixels.")
    _check_pixels(image.size, title, asked.max_megapixels)
    content = image.format or "array"
    try:
        # A copy, as decoding and turning change an image in place, and it is the caller's.
        decoded, in_srgb = _decode(image.copy(), asked, title)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{title} cannot be decoded: {error}. Save it again.") from error
    numbers = decoded.pixels if decoded.values is None else decoded.values
    return _photo(decoded, label, _array_sha256(numbers), content, in_srgb)


def _from_array(array: npt.NDArray[np.generic], name: str | None, asked: _Asked) -> Photo:
    label = label_of(name, array)
    title = label or "The array"
    if array.ndim >= 2:
        _check_pixels(array.shape[:2], title, asked.max_megapixels)
    # A copy, as the caller may go on writing into the array.
    return _photo(
        array_to_rgb(array.copy(), asked.window, title), label, _array_sha256(array), "array"
    )


def _decode(
    image: Image.Image, asked: _Asked, title: str, data: bytes | None = None
) -> tuple[Decoded, npt.NDArray[np.uint8] | None]:
    """The picture upright, and the same by its colour profile; raises what Pillow raises.

    `data` is the file, if there is one.
    """
    window, size, times = asked.window, image.size, 1
    # First: Pillow decodes a PNG to look for its orientation.
    packing = packing_of_wide_colours(image, title) if data is not None else ""
    orientation, notes = _orientation(image)
    depth = declared(image)
    frames = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    check_memory(image, title, turned=orientation != 1, twice=packing != "")
    if asked.least is not None:
        times = draft(image, asked.least, sideways=orientation in _SIDEWAYS)
    image.load()
    values = None
    if data is not None and packing:
        with Image.open(io.BytesIO(data), formats=_formats()) as again:
            values = wide_colours(image, again, packing)
        if window is None:
            notes += (upper_bytes_note(image),)
        elif values is None:
            raise no_window(title, packing)
        else:
            notes += show_window(image, values, window, title)
    if orientation != 1:
        if image.format != "TIFF":  # those turn themselves in load()
            ImageOps.exif_transpose(image, in_place=True)  # what it was takes no memory any more
            values = None if values is None else _TURN[orientation](values)
        notes += (f"It was {_TURNED[orientation]}, as its EXIF orientation {orientation} says.",)
    buffered = asked.buffered and values is None
    decoded = image_to_rgb(image, depth, window, title, buffered=buffered)
    if times > 1:
        assert decoded.buffered is not None  # as no JPEG has more than 8 bits, or transparency
        turn = _TURN.get(orientation, lambda values: values)
        whole = stand_in(size if orientation in _SIDEWAYS else size[::-1])
        place = placed(decoded.buffered.image, size, times, turn)
        decoded = replace(decoded, pixels=whole, buffered=place)
    if values is not None:
        levels = window or (0.0, sixteen_bits().white or 0.0)
        decoded = replace(decoded, values=values, levels=levels)
    in_srgb, profiled = as_meant(image, None if asked.buffered else decoded.pixels)
    more = (profiled,) * bool(profiled) + ("Of several frames the first is shown.",) * frames
    return replace(decoded, notes=notes + decoded.notes + more), in_srgb


def _orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:
        # Broken EXIF data is no reason to refuse a photo that can be decoded.
        if says_too_much(error):
            return 1, ("What stands behind its picture takes too much memory, and was ignored.",)
        return 1, ("Its EXIF data is damaged and was ignored.",)
    return (orientation, ()) if orientation in _TURNED else (1, ())


def _check_pixels(size: tuple[int, ...], title: str, max_megapixels: float) -> None:
    if size[0] * size[1] > max_megapixels * 1e6:
        raise _too_many_pixels(title, size, max_megapixels)


def _check_scans(data: bytes, content: str | None, title: str) -> None:
    # A start-of-scan marker cannot occur inside compressed data, only in an embedded thumbnail.
    if content in ("JPEG", "MPO") and data.count(b"\xff\xda") > MAX_SCANS:
        raise ImageError(
            f"{title} is a JPEG of more than {MAX_SCANS} scans, which would take too long to "
            "decode. Save it again with another program."
        )


def _too_many_pixels(title: str, size: tuple[int, ...] | None, limit: float) -> ImageError:
    amount = f"{size[0] * size[1] / 1e6:.1f} megapixels" if size else "far too many pixels"
    return ImageError(
        f"{title} has {amount}; the limit is {limit:g} megapixels. Make the picture smaller."
    )


def too_many_bytes(title: str, size: float, limit: int) -> ImageError:
    """What is said of a file of `size` bytes where `limit` are allowed."""
    return ImageError(
        f"{title} has {size / 2**20:.1f} MB; the limit is {limit / 2**20:g} MB. Make the file "
        "smaller, by saving it as a JPEG for instance."
    )


def _array_sha256(array: npt.NDArray[np.generic]) -> str:
    header = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()


def _photo(
    decoded: Decoded,
    label: str,
    sha256: str,
    content: str,
    in_srgb: npt.NDArray[np.uint8] | None = None,
) -> Photo:
    return Photo(
        pixels=_own(decoded.pixels) if decoded.buffered is None else decoded.pixels,
        name=label or "photo",
        sha256=sha256,
        format=content,
        notes=decoded.notes,
        in_srgb=None if in_srgb is None else _own(in_srgb),
        values=None if decoded.values is None else _own(decoded.values),
        levels=decoded.levels,
        buffered=decoded.buffered,
    )


def _own(pixels: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    own = np.ascontiguousarray(pixels)
    own.flags.writeable = False
    return own
