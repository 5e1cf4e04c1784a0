"""Small pictures beside a map: the colour bar, and channel weights as a strip."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import RenderError
from cbam_viz.render.colormaps import DEFAULT_COLORMAP, colorize, lookup_table
from cbam_viz.render.opencv import cv2
from cbam_viz.render.overlay import Pixels
from cbam_viz.render.scale import Scale

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def colorbar(
    scale: Scale,
    colormap: str = DEFAULT_COLORMAP,
    *,
    width: int = 256,
    height: int = 12,
    labels: bool = False,
) -> Pixels:
    """The colours from low (left) to high (right); uint8 RGB (height, width, 3).

    With `labels`, both ends and the kind of scale stand below in black on white, and the picture is
    taller for it. On a scale without extent the bar has its middle colour only.
    """
    if width < 1 or height < 1:
        raise RenderError(f"A colour bar of {width} x {height} pixels cannot be drawn.")
    # Pixel centres, so that the first and the last pixel lie half a pixel inside the ends.
    position = (np.arange(width, dtype=np.float64) + 0.5) / width
    if scale.high > scale.low:
        table = lookup_table(colormap)
        row = table[np.minimum((position * 256).astype(np.intp), 255)]
    else:
        row = colorize(np.full((1, width), scale.low), scale, colormap)[0]
    bar = np.ascontiguousarray(np.repeat(row[None], height, axis=0))
    return np.vstack([bar, _label_row(scale, width)]) if labels else bar


def strip(
    weights: npt.NDArray[Any],
    scale: Scale,
    colormap: str = DEFAULT_COLORMAP,
    *,
    height: int = 12,
    channel_width: int = 1,
) -> Pixels:
    """Channel weights (C,) as a row of coloured cells; RGB (height, C * channel_width, 3).

    No two channels ever share a pixel: averaging would hide the extremes one looks for.
    """
    values = np.asarray(weights)
    if values.ndim != 1 or values.size == 0 or height < 1 or channel_width < 1:
        raise RenderError(
            f"Channel weights of shape {values.shape} cannot be drawn as a strip. Give one weight "
            "a channel, shape (C,), and positive sizes."
        )
    row = np.repeat(colorize(values[None], scale, colormap), channel_width, axis=1)
    return np.ascontiguousarray(np.repeat(row, height, axis=0))


def _label_row(scale: Scale, width: int) -> Pixels:
    """Both ends at the sides and the words in the middle where they fit."""
    low, high = scale.range_label
    size = 0.4
    row = np.full((18, width, 3), 255, np.uint8)
    words = scale.label.partition(",")[0]
    widths = [cv2.getTextSize(text, _FONT, size, 1)[0][0] for text in (low, words, high)]
    starts = (1, (width - widths[1]) // 2, width - widths[2] - 1)
    for text, start in zip((low, words, high), starts, strict=True):
        if text == words and sum(widths) + 20 > width:
            continue
        cv2.putText(row, text, (start, 13), _FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    return row
