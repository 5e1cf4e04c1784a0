"""Any decoded picture as 8-bit RGB, with a sentence for each choice made on the way.

Colour profiles are left aside: timm's and torchvision's loaders ignore them too, and the network
must see what it would see there. `profiles.py` is for the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from cbam_viz._text import shortened
from cbam_viz.errors import ImageError
from cbam_viz.images.depth import Depth, Pixels, Window, declared_by_type, eight_bits
from cbam_viz.images.photo import Buffered
from cbam_viz.images.spec import MAX_CHANNELS

_BAND = 256
"""Rows that are put on white at a time."""

ON_WHITE = "Transparent parts are shown on white."
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Decoded:
    """A picture as 8-bit RGB, and the numbers that it was made of where these are more."""

    pixels: Pixels
    """(H, W, 3) RGB."""
    notes: tuple[str, ...] = ()
    values: npt.NDArray[Any] | None = None
    """(H, W, C), as in `Photo`."""
    levels: Window | None = None
    buffered: Buffered | None = None
    """The picture where it was left in Pillow's memory; `pixels` are then a stand-in."""


def image_to_rgb(
    image: Image.Image, depth: Depth, window: Window | None, title: str, *, buffered: bool = False
) -> Decoded:
    """A loaded image as RGB; whatever Pillow raises passes through.

    `depth` and `window` decide on values of more than 8 bits alone. With `buffered` an opaque
    picture of 8 bits is left in Pillow's memory. Raises ImageError where `depth` and `window` do
    not say what is white.
    """
    if image.mode in _WIDE_MODES or depth.signed_bytes:
        numbers = np.asarray(image)
        numbers = numbers.view(np.int8) if depth.signed_bytes else numbers
        clear = image.info.get("transparency")
        on_white: tuple[str, ...] = ()
        if isinstance(clear, int) and depth.white is not None and (numbers == clear).any():
            numbers = np.where(numbers == clear, numbers.dtype.type(depth.white), numbers)
            on_white = (ON_WHITE,)
        values, levels, notes = eight_bits(numbers, depth, window, title)
        notes += on_white
        return Decoded(_grey_to_rgb(values), notes, numbers[..., None], levels)
    if image.mode == "LAB":
        return Decoded(np.asarray(_lab_to_rgb(image)))
    if image.has_transparency_data:
        return Decoded(*_on_white(image))
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if buffered:
        size = (rgb.height, rgb.width)
        return Decoded(stand_in(size), buffered=Buffered(rgb, (0, 0, *rgb.size)))
    return Decoded(np.asarray(rgb))


def stand_in(size: tuple[int, int]) -> Pixels:
    """Pixels of this height and width that take no memory and show nothing."""
    return np.broadcast_to(np.uint8(0), (*size, 3))


def array_to_rgb(
    array: npt.NDArray[Any],
    window: Window | None,
    title: str,
    depth: Depth | None = None,
) -> Decoded:
    """An array (H, W) or (H, W, C) as RGB.

    Three channels are RGB, four RGBA; of other counts the first is shown, or the first three.
    Unsigned integers of 8 and 16 bits span their type, floats go from 0 to 1, unless `depth`
    declares something else. Raises ImageError for other shapes and types, and for other ranges
    without a window that says what is white.
    """
    if array.ndim not in (2, 3) or 0 in array.shape or array.shape[2:] > (MAX_CHANNELS,):
        raise ImageError(
            f"{title} is no picture: its shape is {shortened(str(array.shape))}. Give (height, "
            f"width), or (height, width, channels) with up to {MAX_CHANNELS:,} channels, 3 for RGB."
        )
    if array.ndim == 3 and array.shape[2] > 4 and array.shape[0] < min(array.shape[1:]):
        raise ImageError(
            f"{title} is no picture of {array.shape[2]} channels: of its shape {array.shape}, its "
            "channels seem to come first. Put them last: numpy.moveaxis(array, 0, -1)."
        )
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"{title} is no picture: it holds an array of type {array.dtype}. Give numbers, 8-bit "
            "integers at best."
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.ndim == 2:
        array = array[..., None]
    channels = array.shape[2]
    raw, levels = None, None
    notes: tuple[str, ...] = ()
    values = array if channels in (1, 3, 4) else array[..., : 3 if channels > 3 else 1]
    if array.dtype != np.uint8 or depth is not None:
        own = declared_by_type(array.dtype) if depth is None else depth
        values, levels, notes = eight_bits(values, own, window, title)
        raw = array
    elif channels not in (1, 3):
        raw, levels = array, (0.0, 255.0)
    if channels not in (1, 3, 4):
        shown = "three, as red, green and blue" if channels > 3 else "one"
        notes += (f"It has {channels} channels; shown are the first {shown}.",)
    if values.shape[2] == 1:
        return Decoded(_grey_to_rgb(values[..., 0]), notes, raw, levels)
    if values.shape[2] == 4:
        pixels, more = _on_white(Image.fromarray(np.ascontiguousarray(values), "RGBA"))
        return Decoded(pixels, notes + more, raw, levels)
    return Decoded(values, notes, raw, levels)


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
    return pixels, () if opaque else (ON_WHITE,)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("no conversion from LAB")
    return converted
