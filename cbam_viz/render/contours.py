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
"""Width of the dark rim on each side of a line, in line widths, so that it shows on any photo."""


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
    slope = _slope(placed.values)
    for level in contour_levels(scale, levels):
        distance = _distance(placed.values, slope, level)
        _draw(picture, distance, width * (1 + _HALO), (0, 0, 0), 0.55)
        _draw(picture, distance, width, color_of(level, scale, colormap), 1.0)
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


def _slope(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Change of value per pixel, along the steepest direction."""
    if min(values.shape) < 2:
        return np.zeros_like(values)
    down, across = np.gradient(values)
    slope: npt.NDArray[np.float32] = cv2.magnitude(down, across)
    return slope


def _distance(
    values: npt.NDArray[np.float32], slope: npt.NDArray[np.float32], level: float
) -> npt.NDArray[np.float32]:
    """Distance of each pixel to the line, in pixels; infinite where the map is flat."""
    difference = np.abs(values - np.float32(level))
    # The smallest slope that counts: rounding alone makes a flat map vary by about 1e-7.
    steep = slope > 1e-6
    return np.where(steep, difference / np.where(steep, slope, 1), np.float32(np.inf))


def _draw(
    picture: npt.NDArray[np.float32],
    distance: npt.NDArray[np.float32],
    width: float,
    colour: tuple[int, int, int],
    strength: float,
) -> None:
    """Blend a smooth-edged line into the picture, in place."""
    cover = (np.float32(width / 2 + 0.5) - distance).clip(0, 1) * np.float32(strength)
    touched = cover > 0
    share = cover[touched][:, None]
    picture[touched] += share * (np.array(colour, np.float32) - picture[touched])
