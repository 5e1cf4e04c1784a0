"""Maps cell by cell, with hard edges, and one cell framed: for following a number through a layer.

Smooth pictures show where a map is high; these show what the network has, one value a cell.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Cells
from cbam_viz.images import Geometry
from cbam_viz.render.colormaps import colorize
from cbam_viz.render.placement import place
from cbam_viz.render.scale import Scale

Pixels = npt.NDArray[np.uint8]


def grid(
    values: npt.NDArray[Any],
    *,
    scale: Scale,
    colormap: str,
    longest: int,
    marked: tuple[int, int] | None = None,
) -> Pixels:
    """A map (h, w) as squares of colour, the longer side about `longest` pixels.

    The cell `marked` (row, column) is framed.
    """
    side = max(1, longest // max(values.shape))
    colours = colorize(values, scale, colormap)
    squares: Pixels = colours.repeat(side, axis=0).repeat(side, axis=1)
    if marked is None:
        return squares
    mask = np.zeros(squares.shape[:2], bool)
    row, column = marked
    mask[row * side : (row + 1) * side, column * side : (column + 1) * side] = True
    return framed(squares, mask)


def frame_cell(
    pixels: Pixels,
    shape: tuple[int, int],
    cell: tuple[int, int],
    cells: Cells,
    geometry: Geometry,
) -> Pixels:
    """A picture of the photo with one cell (row, column) of a map (h, w) framed.

    Unchanged if the cell lies outside the photo.
    """
    only = np.zeros(shape, np.float32)
    only[cell] = 1
    placed = place(only, cells, geometry, (pixels.shape[0], pixels.shape[1]), method="nearest")
    return framed(pixels, (placed.values > 0.5) & placed.seen)


def framed(pixels: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    """The picture with a frame, white and black so that it shows on any colour, around the mask.

    The frame lies outside the mask, but where that ends with the picture.
    """
    thickness = max(1, round(max(pixels.shape) / 160))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return pixels
    inner = np.zeros_like(mask)
    inner[
        max(rows[0], thickness) : min(rows[-1] + 1, mask.shape[0] - thickness),
        max(columns[0], thickness) : min(columns[-1] + 1, mask.shape[1] - thickness),
    ] = True
    area = inner.astype(np.uint8)
    near, far = (
        cv2.dilate(area, np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0
        for width in (thickness, 2 * thickness)
    )
    drawn = pixels.copy()
    drawn[far & ~near] = 0
    drawn[near & ~inner] = 255
    return drawn
