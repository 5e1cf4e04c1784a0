"""Any decoded picture as 8-bit RGB, with a sentence for each choice made on the way.

Colour profiles are left aside: timm's and torchvision's loaders ignore them too, and the network
must see what it would see there. `profiles.py` is for the eyes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from cbam_viz.errors import ImageError
from cbam_viz.images.depth import Depth, Pixels, Window, declared_by_type, eight_bits

_BAND = 256
"""Rows that are put on white at a time."""

_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def image_to_rgb(
    image: Image.Image, depth: Depth, window: Window | None, title: str
) -> tuple[Pixels, tuple[str, ...]]:
    """(H, W, 3) RGB pixels of a loaded image, and notes; whatever Pillow raises passes through.

    `depth` and `window` decide on values of more than 8 bits alone. Raises ImageError where these
    do not say what is white.
    """
    if image.mode in _WIDE_MODES or depth.signed_bytes:
        numbers = np.asarray(image)
        numbers = numbers.view(np.int8) if depth.signed_bytes else numbers
        values, notes = eight_bits(numbers, depth, window, title)
        return _grey_to_rgb(values), notes
    if image.mode == "LAB":
        return np.asarray(_lab_to_rgb(image)), ()
    if image.has_transparency_data:
        return _on_white(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), ()


def array_to_rgb(
    array: npt.NDArray[Any], window: Window | None, title: str
) -> tuple[Pixels, tuple[str, ...]]:
    """(H, W, 3) RGB pixels of an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), and notes.

    Unsigned integers of 8 and 16 bits span their type, floats go from 0 to 1. Raises ImageError for
    other shapes and types, and for other ranges without a window that says what is white.
    """
    if (
        array.ndim not in (2, 3)
        or 0 in array.shape
        or array.shape[2:] not in ((), (1,), (3,), (4,))
    ):
        raise ImageError(
            f"An array of shape {array.shape} is no picture. Give (height, width), or (height, "
            "width, channels) with 1, 3 (RGB) or 4 (RGBA) channels."
        )
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"An array of type {array.dtype} is no picture. Give numbers, 8-bit integers at best."
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    notes: tuple[str, ...] = ()
    values = array
    if array.dtype != np.uint8:
        values, notes = eight_bits(array, declared_by_type(array.dtype), window, title)
    if values.ndim == 2 or values.shape[2] == 1:
        return _grey_to_rgb(values.reshape(values.shape[:2])), notes
    if values.shape[2] == 4:
        pixels, more = _on_white(Image.fromarray(np.ascontiguousarray(values), "RGBA"))
        return pixels, notes + more
    return values, notes


def _grey_to_rgb(values: Pixels) -> Pixels:
    return np.repeat(values[:, :, None], 3, axis=2)


def _on_white(image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    opaque = True
    # In bands: five copies of a large picture would take gigabytes.
    for top in range(0, image.height, _BAND):
        band = image.crop((0, top, image.width, min(top + _BAND, image.height))).convert("RGBA")
        if band.getchannel("A").getextrema()[0] != 255:
            opaque = False
            white = Image.new("RGBA", band.size, (255, 255, 255, 255))
            band = Image.alpha_composite(white, band)
        pixels[top : top + _BAND] = np.asarray(band.convert("RGB"))
    return pixels, () if opaque else ("Transparent parts are shown on white.",)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("no conversion from LAB")
    return converted
