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

Pixels = npt.NDArray[np.uint8]

_BIT_DEPTHS = (8, 10, 12, 16)
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def image_to_rgb(image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    """(H, W, 3) RGB pixels of a loaded image, and notes; whatever Pillow raises passes through."""
    if image.mode in _WIDE_MODES:
        values, note = _to_eight_bits(np.asarray(image))
        return _grey_to_rgb(values), (note,) if note else ()
    if image.mode == "LAB":
        return np.asarray(_lab_to_rgb(image)), ()
    if image.has_transparency_data:
        return _on_white(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), ()


def array_to_rgb(array: npt.NDArray[Any]) -> tuple[Pixels, tuple[str, ...]]:
    """(H, W, 3) RGB pixels of an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), and notes.

    Floats in [0, 1] and integers of 8 to 16 bits keep their meaning; other ranges are stretched.
    Raises ImageError for other shapes and types.
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
    values, note = (array, "") if array.dtype == np.uint8 else _to_eight_bits(array)
    notes = (note,) if note else ()
    if values.ndim == 2 or values.shape[2] == 1:
        return _grey_to_rgb(values.reshape(values.shape[:2])), notes
    if values.shape[2] == 4:
        pixels, more = _on_white(Image.fromarray(np.ascontiguousarray(values), "RGBA"))
        return pixels, notes + more
    return values, notes


def _grey_to_rgb(values: Pixels) -> Pixels:
    return np.repeat(values[:, :, None], 3, axis=2)


def _on_white(image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    rgba = image.convert("RGBA")
    lowest, _ = rgba.getchannel("A").getextrema()
    if lowest == 255:
        return np.asarray(rgba.convert("RGB")), ()
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    pixels = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return pixels, ("Transparent parts are shown on white.",)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("no conversion from LAB")
    return converted


def _to_eight_bits(values: npt.NDArray[Any]) -> tuple[Pixels, str]:
    """Values of more than 8 bits as 8 bits, and what was done about their range.

    Integers up to 16 bits are divided by the full range of the narrowest usual depth that holds
    them: sensors often put 10 or 12 bits into 16. Floats in [0, 1] are multiplied by 255. All else
    has no agreed range and is stretched from lowest to highest.
    """
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, 0)
        return _stretch_finite(values, finite)
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return _scaled(values, 0.0, 1.0), ""
    if values.dtype.kind in "iu" and low >= 0 and high < 2**16:
        bits = next(depth for depth in _BIT_DEPTHS if high < 2**depth)
        note = "" if bits == 8 else f"{bits}-bit values were brought to 8 bits."
        return _scaled(values, 0.0, 2.0**bits - 1), note
    if low >= 0 and high <= 255:
        return _scaled(values, 0.0, 255.0), ""
    return _scaled(
        values, low, high
    ), f"Values from {low:g} to {high:g} were stretched to black and white."


def _stretch_finite(values: npt.NDArray[Any], finite: npt.NDArray[np.bool_]) -> tuple[Pixels, str]:
    if not finite.any():
        return np.zeros(values.shape, np.uint8), "No value is a finite number: shown black."
    low, high = float(values[finite].min()), float(values[finite].max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    pixels = np.where(finite, _scaled(values, low, high), 0).astype(np.uint8)
    return pixels, "Values that are not finite numbers are shown black."


def _scaled(values: npt.NDArray[Any], low: float, high: float) -> Pixels:
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    # In double precision, as 32-bit integers do not fit a float32; halves, as high - low may
    # overflow.
    share = (values.astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)
    pixels: Pixels = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
    return pixels
