"""A placed map over its photo, with what the network did not see marked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbam_viz._defaults import OPACITY
from cbam_viz.errors import RenderError
from cbam_viz.render.colormaps import DEFAULT_COLORMAP, colorize
from cbam_viz.render.opencv import cv2
from cbam_viz.render.placement import Placed
from cbam_viz.render.scale import Scale

Pixels = npt.NDArray[np.uint8]

DEFAULT_OPACITY = OPACITY

UNSEEN_BRIGHTNESS = 0.35
"""What is left of the photo's brightness where the network did not look."""

_HATCH_LEVEL = 70
"""Added to the dimmed photo on the hatch lines, of 255."""


def overlay(
    photo_pixels: Pixels,
    placed: Placed,
    *,
    scale: Scale,
    colormap: str = DEFAULT_COLORMAP,
    opacity: float = DEFAULT_OPACITY,
    mark_unseen: bool = True,
) -> Pixels:
    """Blend the coloured map over the photo; uint8 RGB (H, W, 3), a new array.

    Each pixel is `(1 - opacity) * photo + opacity * colour`, rounded. With `mark_unseen` the parts
    that the network did not see are darkened and hatched and get no colour. Raises RenderError if
    photo and map differ in size, or for an opacity outside [0, 1].
    """
    check_size(photo_pixels, placed)
    if not 0 <= opacity <= 1:
        raise RenderError(f"An opacity of {opacity} cannot be drawn. Choose one from 0 to 1.")
    colours = colorize(placed.values, scale, colormap)
    blended: Pixels = cv2.addWeighted(colours, opacity, photo_pixels, 1 - opacity, 0)
    return hatch_unseen(blended, placed.seen, background=photo_pixels) if mark_unseen else blended


def hatch_unseen(
    pixels: Pixels, seen: npt.NDArray[np.bool_], *, background: Pixels | None = None
) -> Pixels:
    """`pixels` where seen; a darkened, hatched `background` (by default `pixels` too) elsewhere.

    Returns `pixels` itself if all of it was seen, else a new array.
    """
    if seen.all():
        return pixels
    photo = pixels if background is None else background
    hatch = _hatch(seen.shape)
    marked: Pixels = cv2.addWeighted(photo, UNSEEN_BRIGHTNESS, cv2.merge([hatch] * 3), 1.0, 0)
    cv2.copyTo(pixels, seen.view(np.uint8), marked)
    return marked


def fit_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Height and width with the same aspect whose longer side is at most `longest` pixels."""
    factor = min(1.0, longest / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_photo(photo_pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """A copy of height and width `size`: smaller, each pixel the mean of what it covers; larger,
    between the pixels that there are.
    """
    if photo_pixels.shape[:2] == size:
        return photo_pixels
    smaller = size[0] <= photo_pixels.shape[0] and size[1] <= photo_pixels.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized: Pixels = cv2.resize(photo_pixels, size[::-1], interpolation=way)
    return resized


def check_size(photo_pixels: Pixels, placed: Placed) -> None:
    """Raise RenderError unless the photo is RGB and of the size of the map."""
    if photo_pixels.dtype != np.uint8 or photo_pixels.shape != (*placed.values.shape, 3):
        raise RenderError(
            f"A photo of shape {photo_pixels.shape} and a map of shape {placed.values.shape} do "
            "not fit. Place the map at the photo's size, and give the photo as 8-bit RGB."
        )


def _hatch(size: tuple[int, ...]) -> Pixels:
    """Diagonal lines on black, as thick and as far apart as the picture's size asks for."""
    height, width = size
    period = max(8, max(size) // 48)
    first_row = np.arange(width + height) % period < max(1, period // 6)
    values = np.where(first_row, np.uint8(_HATCH_LEVEL), np.uint8(0))
    # Row i is the row above moved by one pixel: a view, no copy.
    rows: Pixels = np.lib.stride_tricks.sliding_window_view(values, width)[:height]
    return np.ascontiguousarray(rows)
