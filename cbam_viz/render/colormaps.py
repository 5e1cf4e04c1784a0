"""Colour maps: perceptually uniform ones, grey, and a diverging one around the middle.

Tables of viridis, cividis, magma and inferno are those that OpenCV carries (CC0, from matplotlib).
The diverging one is computed after K. Moreland, Diverging Color Maps for Scientific Visualization,
2009. Jet and its kin are left out on purpose: they show edges that the values do not have.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz._defaults import COLORMAP as DEFAULT_COLORMAP
from cbam_viz._defaults import COLORMAPS, Colormap
from cbam_viz.errors import RenderError
from cbam_viz.render.opencv import cv2
from cbam_viz.render.scale import Scale

__all__ = [
    "COLORMAPS",
    "DEFAULT_COLORMAP",
    "NOT_A_NUMBER",
    "Colormap",
    "color_of",
    "colorize",
    "lookup_table",
]

NOT_A_NUMBER = (255, 0, 255)
"""RGB of NaN: a magenta that is in none of the tables."""

_OPENCV: dict[str, int] = {
    "viridis": cv2.COLORMAP_VIRIDIS,
    "cividis": cv2.COLORMAP_CIVIDIS,
    "magma": cv2.COLORMAP_MAGMA,
    "inferno": cv2.COLORMAP_INFERNO,
}

_COOL, _WARM, _NEUTRAL_M = (59, 76, 192), (180, 4, 38), 88.0


@cache
def lookup_table(colormap: str = DEFAULT_COLORMAP) -> npt.NDArray[np.uint8]:
    """(256, 3) RGB from low to high, read-only. Raises RenderError for an unknown name."""
    if colormap in _OPENCV:
        ramp = np.arange(256, dtype=np.uint8)[:, None]
        bgr = cv2.applyColorMap(ramp, _OPENCV[colormap])[:, 0]
        table = np.ascontiguousarray(bgr[:, ::-1])
    elif colormap == "grey":
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    elif colormap == "diverging":
        table = _diverging()
    else:
        raise RenderError(
            f"There is no colour map {colormap!r}. Choose one of {', '.join(COLORMAPS)}."
        )
    table.flags.writeable = False
    return table


def colorize(
    values: npt.NDArray[Any], scale: Scale, colormap: str = DEFAULT_COLORMAP
) -> npt.NDArray[np.uint8]:
    """RGB (H, W, 3) of values (H, W): `scale.low` gets the first colour, `scale.high` the last.

    Values beyond the ends get the end's colour, NaN gets `NOT_A_NUMBER`. On a scale without extent
    everything gets the middle colour.
    """
    table = lookup_table(colormap)
    floats = np.asarray(values, dtype=np.float32)
    colours: npt.NDArray[np.uint8] = cv2.applyColorMap(_levels(floats, scale), table[:, None])
    # The minimum is NaN as soon as one value is, and far cheaper than a mask of all of them.
    if floats.size and math.isnan(float(floats.min())):
        colours[np.isnan(floats)] = NOT_A_NUMBER
    return colours


def color_of(value: float, scale: Scale, colormap: str = DEFAULT_COLORMAP) -> tuple[int, int, int]:
    """RGB of one value."""
    red, green, blue = colorize(np.array([[value]]), scale, colormap)[0, 0].tolist()
    return red, green, blue


def _levels(values: npt.NDArray[np.float32], scale: Scale) -> npt.NDArray[np.uint8]:
    """Positions in the table, 0 to 255, rounded."""
    if not scale.high > scale.low:
        return np.full(values.shape, 128, np.uint8)
    # Shifted first, and only then multiplied: on a narrow scale, alpha * x + beta would cancel.
    # The clip comes before the conversion, which takes the absolute value of negative numbers.
    shifted = values - np.float32(scale.low)
    span = np.float32(scale.high - scale.low)
    np.clip(shifted, np.float32(0), span, out=shifted)
    levels: npt.NDArray[np.uint8] = cv2.convertScaleAbs(shifted, alpha=255 / float(span))
    return levels.reshape(values.shape)


def _diverging() -> npt.NDArray[np.uint8]:
    """Cool to warm through light grey, interpolated in Moreland's polar CIELAB (Msh)."""
    position = np.linspace(0, 1, 256)[:, None]
    cool, warm = _rgb_to_msh(_COOL), _rgb_to_msh(_WARM)
    left_middle = np.array([_NEUTRAL_M, 0, _unsaturated_hue(cool)])
    right_middle = np.array([_NEUTRAL_M, 0, _unsaturated_hue(warm)])
    left = cool + 2 * position * (left_middle - cool)
    right = right_middle + (2 * position - 1) * (warm - right_middle)
    rgb = _msh_to_rgb(np.where(position < 0.5, left, right))
    table: npt.NDArray[np.uint8] = np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)
    return table


def _unsaturated_hue(colour: npt.NDArray[np.float64]) -> float:
    """Hue at the neutral end, turned so that the path there has no kink (Moreland, figure 6)."""
    magnitude, saturation, hue = (float(value) for value in colour)
    spin = saturation * math.sqrt(_NEUTRAL_M**2 - magnitude**2) / (magnitude * math.sin(saturation))
    return hue + spin if hue > -math.pi / 3 else hue - spin


def _rgb_to_msh(rgb: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    lab = cv2.cvtColor(np.array([[rgb]], np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)[0, 0]
    lightness, a, b = (float(value) for value in lab)
    magnitude = math.sqrt(lightness**2 + a**2 + b**2)
    return np.array([magnitude, math.acos(lightness / magnitude), math.atan2(b, a)])


def _msh_to_rgb(msh: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    magnitude, saturation, hue = msh.T
    radius = magnitude * np.sin(saturation)
    lab = np.stack([magnitude * np.cos(saturation), radius * np.cos(hue), radius * np.sin(hue)], 1)
    rgb: npt.NDArray[np.float32] = cv2.cvtColor(lab[None].astype(np.float32), cv2.COLOR_Lab2RGB)[0]
    return rgb
