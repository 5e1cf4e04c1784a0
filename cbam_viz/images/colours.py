"""Several channels of 16 bits, of which Pillow keeps the upper 8: said, and brought to a window.

Pillow has no picture of three channels of 16 bits. It can be told in which order the two bytes of
each value lie, and keeps the upper one; told the other order, it keeps the lower one. Grey with
transparency has as many bytes as colours of 8 bits with transparency, and can be read as those.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from cbam_viz.errors import ImageError
from cbam_viz.images.depth import Window, declared_note, eight_bits, sixteen_bits
from cbam_viz.images.rgb import ON_WHITE

_BAND = 256
"""Rows that are brought to 8 bits at a time."""
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The other order of bytes; N is the machine's own."""
_WHITE = 65_535
_PLANAR_CONFIGURATION, _SEPARATE = 284, 2
"""TIFF 6.0, section 8: a plane for each channel."""


def packing_of_wide_colours(image: Image.Image, title: str) -> str:
    """Pillow's name of how colours of 16 bits lie in the file; empty for other pictures.

    To be asked before the picture is decoded. Raises ImageError for separate planes, which Pillow
    takes for planes of 8 bits.
    """
    tags = getattr(image, "tag_v2", None) or {}
    bits = tags.get(258, (8,))
    deep = isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8
    if deep and tags.get(_PLANAR_CONFIGURATION) == _SEPARATE:
        raise ImageError(
            f"{title} has its colours of {max(bits)} bits in separate planes, which cannot be "
            "read. Save it as a PNG, or as a TIFF of interleaved channels."
        )
    names = [_packing(tile) for tile in getattr(image, "tile", [])]
    # Other names with 16 are of pixels of 16 bits, such as BGR;16.
    return next((name for name in names if name[:-1].endswith(";16") and image.mode[:1] != "I"), "")


def upper_bytes_note(image: Image.Image) -> str:
    """What was done to colours of 16 bits without a window."""
    if image.mode == "CMYK":
        return "Its inks were brought from 16 to 8 bits."
    colours = [name for name in image.getbands() if name != "A"]
    top = max(int(np.asarray(image.getchannel(name)).max()) for name in colours)
    return declared_note(2.0**16 - 1, top * 256 + 255, below=True)


def wide_colours(
    image: Image.Image, again: ImageFile.ImageFile, packing: str
) -> npt.NDArray[np.uint16] | None:
    """All 16 bits of a decoded picture's colours, (H, W, 3) or of grey (H, W, 1), put on white.

    `again` is the same file, opened and not yet decoded: its lower bytes are taken. None where they
    cannot be had.
    """
    mode, _, order = packing.partition(";16")
    grey = mode == "LA" and image.mode == "RGBA" and image.format == "PNG"
    if order not in _OTHER or not (grey or mode == image.mode in ("RGB", "RGBA")):
        return None
    # Of grey, Pillow's red, green, blue and alpha are then both bytes of grey and of alpha.
    packed = "RGBA" if grey else f"{mode};16{_OTHER[order]}"
    again.tile = [_packed(tile, packed) for tile in again.tile]
    again.load()
    channels = 1 if grey else 3
    values = np.empty((image.height, image.width, channels), np.uint16)
    clear = image.info.get("transparency")
    for top in range(0, image.height, _BAND):
        box = (0, top, image.width, min(top + _BAND, image.height))
        upper, lower = (np.asarray(one.crop(box)) for one in (image, again))
        whole = _pairs(lower) if grey else upper.astype(np.uint16) * 256 + lower
        part = whole[..., :channels]
        if whole.shape[2] > channels:
            part = _on_white(part, whole[..., channels:])
        elif isinstance(clear, tuple) and len(clear) == channels:
            part = np.where((part == clear).all(2, keepdims=True), _WHITE, part)
        values[top : top + _BAND] = part
    return values


def _pairs(four: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Two numbers of 16 bits of four of 8, the upper one first."""
    return four[..., ::2].astype(np.uint16) * 256 + four[..., 1::2]


def _on_white(
    values: npt.NDArray[np.uint16], alpha: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint16]:
    """As the picture is shown; opaque values stay as they are, to the last bit."""
    if alpha.min() == _WHITE:
        return values
    share = alpha / float(_WHITE)
    return np.rint(values * share + _WHITE * (1 - share)).astype(np.uint16)


def show_window(
    image: Image.Image, values: npt.NDArray[np.uint16], window: Window, title: str
) -> tuple[str, ...]:
    """Bring a decoded picture to a window, in place; return notes."""
    notes: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    for top in range(0, image.height, _BAND):
        box = (0, top, image.width, min(top + _BAND, image.height))
        upper = np.array(image.crop(box))
        part = values[top : top + _BAND]
        upper[..., :3], _, notes = eight_bits(part, sixteen_bits(), window, title)
        if (upper[..., 3:] != 255).any():
            upper[..., 3:] = 255  # the values are on white already
            clear = (ON_WHITE,)
        image.paste(Image.fromarray(upper), box)
    if image.info.pop("transparency", None) is not None and (values == _WHITE).all(2).any():
        clear = (ON_WHITE,)
    return notes + clear


def no_window(title: str, packing: str) -> ImageError:
    """Of kinds whose lower bytes cannot be had."""
    return ImageError(
        f"{title} has colours of 16 bits of a kind ({packing}) to which no window can be "
        "applied. Save it as an RGB PNG of 16 bits."
    )


def _packing(tile: Any) -> str:
    arguments = tile[3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _packed(tile: Any, packing: str) -> Any:
    arguments = tile[3]
    rest = (packing, *arguments[1:]) if isinstance(arguments, tuple) else packing
    return tile._replace(args=rest)
