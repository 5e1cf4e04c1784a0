"""Level lines of a map over its photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import RenderError
from cbam_viz.render.colormaps import DEFAULT_COLORMAP, color_of
from cbam_viz.render.opencv import cv2
from cbam_viz.render.overlay import Pixels, check_size, hatch_unseen
from cbam_viz.render.placement import Placed
from cbam_viz.render.scale import Scale

DEFAULT_LEVELS = 5

_HALO = 1.5
"""How much wider than its line the dark rim is, in line widths; it shows lines on any photo."""

_RIM_STRENGTH = np.float32(0.55)

_FLAT = 1e-6
"""Change per pixel up to which a map counts as flat: rounding makes it vary by about 1e-7."""


def contours(
    photo_pixels: Pixels,
    placed: Placed,
    *,
    scale: Scale,
    levels: Sequence[float] | int = DEFAULT_LEVELS,
    colormap: str = DEFAULT_COLORMAP,
    thickness: float | None = None,
    mark_unseen: bool = True,
) -> Pixels:
    """Draw lines of equal value, in the colour of their value; uint8 RGB (H, W, 3).

    `levels` is a list of values, or how many to spread evenly inside the scale. A flat map has no
    lines. The lines run through the values themselves, so they are exact to a fraction of a pixel.
    """
    check_size(photo_pixels, placed)
    picture = photo_pixels.astype(np.float32)
    width = thickness or max(1.0, max(placed.values.shape) / 400)
    values, per_value = _steepness(placed.values)
    for level in contour_levels(scale, levels):
        distance = np.abs(values - np.float32(level)) * per_value
        _draw_line(picture, distance, width, color_of(level, scale, colormap))
    drawn = np.rint(picture).astype(np.uint8)
    return hatch_unseen(drawn, placed.seen, background=photo_pixels) if mark_unseen else drawn


def contour_levels(scale: Scale, levels: Sequence[float] | int = DEFAULT_LEVELS) -> list[float]:
    """The values of the lines; none on a scale without extent. Raises RenderError below one."""
    if not isinstance(levels, int):
        return [float(level) for level in levels]
    if levels < 1:
        raise RenderError(f"{levels} level lines cannot be drawn. Choose at least one.")
    if not scale.high > scale.low:
        return []
    step = (scale.high - scale.low) / (levels + 1)
    return [scale.low + step * (number + 1) for number in range(levels)]


def _steepness(
    values: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Values, NaN where the map is flat, and pixels per unit of value along the steepest way."""
    slope: npt.NDArray[np.float32] = cv2.magnitude(_change(values, 0), _change(values, 1))
    flat = ~(slope > _FLAT)
    slope[flat] = 1
    return np.where(flat, np.float32(np.nan), values), np.float32(1) / slope


def _change(values: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """Change from pixel to pixel along an axis; none along an axis of one pixel."""
    if values.shape[axis] < 2:
        return np.zeros_like(values)
    change: npt.NDArray[np.float32] = np.gradient(values, axis=axis)
    return change


def _draw_line(
    picture: npt.NDArray[np.float32],
    distance: npt.NDArray[np.float32],
    width: float,
    colour: tuple[int, int, int],
) -> None:
    """Blend a smooth-edged line with its rim into the picture, in place, where `distance` is short.

    NaN is never short.
    """
    rim = width * (1 + _HALO)
    near = np.flatnonzero(distance < rim / 2 + 0.5)
    close = distance.ravel()[near, None]
    pixels = picture.reshape(-1, 3)
    under = pixels[near]
    under *= 1 - _RIM_STRENGTH * (np.float32(rim / 2 + 0.5) - close).clip(0, 1)
    share = (np.float32(width / 2 + 0.5) - close).clip(0, 1)
    pixels[near] = under + share * (np.array(colour, np.float32) - under)
