"""From the cells of a map to the pixels of the photo, exactly.

The way is cells -> input -> photo, all of it scaling and shifting along one axis at a time. So the
interpolation is two small matrix products, rows and columns: exact to float32 rounding, whereas
OpenCV's `remap` and `warpAffine` round positions to 1/32 of a cell, which is a whole input pixel at
stride 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Cells
from cbam_viz.errors import RenderError
from cbam_viz.images import Geometry

Method = Literal["bilinear", "nearest"]

METHODS: tuple[Method, ...] = ("bilinear", "nearest")


@dataclass(frozen=True, eq=False)
class Placed:
    """A map on the pixels of a photo, or of a smaller copy of it."""

    values: npt.NDArray[np.float32]
    """(H, W), in the unit of the map; NaN where the map is."""
    seen: npt.NDArray[np.bool_]
    """(H, W), False where the network did not look; `values` there only repeat the nearest cell."""


def place(
    map2d: npt.NDArray[Any],
    cells: Cells,
    geometry: Geometry,
    size: tuple[int, int] | None = None,
    *,
    method: Method = "bilinear",
) -> Placed:
    """Put a map (h, w) on the photo's own pixels, or on those of a copy of height and width `size`.

    `bilinear` interpolates between the centres of cells and repeats the outermost ones beyond them;
    `nearest` shows each cell as a rectangle around its centre. A pixel counts as seen if its centre
    does. Raises RenderError for anything but a non-empty map and a positive size.
    """
    values = np.asarray(map2d, dtype=np.float32)
    height, width = size or geometry.photo_size
    if values.ndim != 2 or values.size == 0 or height < 1 or width < 1:
        raise RenderError(
            f"A map of shape {values.shape} cannot be put on a picture of {width} x {height} "
            "pixels. Give one map of shape (height, width) and a size of at least one pixel."
        )
    if method not in METHODS:
        raise RenderError(f"There is no method {method!r}. Choose one of {', '.join(METHODS)}.")
    y_photo, x_photo = _pixel_centres(geometry, (height, width))
    y_input = (y_photo - geometry.offset_y) / geometry.scale_y
    x_input = (x_photo - geometry.offset_x) / geometry.scale_x
    rows = _in_cells(y_input, cells.offset_y, cells.stride_y, values.shape[0])
    columns = _in_cells(x_input, cells.offset_x, cells.stride_x, values.shape[1])
    placed = (_bilinear if method == "bilinear" else _nearest)(values, rows, columns)
    top, left, bottom, right = geometry.seen
    seen = np.outer((y_photo > top) & (y_photo < bottom), (x_photo > left) & (x_photo < right))
    return Placed(placed, seen)


def _pixel_centres(
    geometry: Geometry, size: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Photo coordinates of the centres of pixels of a picture of `size`."""
    y_step, x_step = geometry.photo_size[0] / size[0], geometry.photo_size[1] / size[1]
    y = (np.arange(size[0], dtype=np.float64) + 0.5) * y_step
    x = (np.arange(size[1], dtype=np.float64) + 0.5) * x_step
    return y, x


def _in_cells(
    positions: npt.NDArray[np.float64], offset: float, stride: float, count: int
) -> npt.NDArray[np.float64]:
    """Positions on the input as fractional cell numbers, kept within the outermost centres."""
    return ((positions - offset) / stride).clip(0, count - 1)


def _nearest(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    wide = values[:, np.floor(columns + 0.5).astype(np.intp)]
    return wide[np.floor(rows + 0.5).astype(np.intp)]


def _bilinear(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """Interpolate by two products of matrices; cells that are not finite stay rectangles.

    A weight of zero times NaN is NaN, so that one such cell would wipe out all others.
    """
    finite = np.isfinite(values)
    known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    tall = np.matmul(_weights(rows, values.shape[0]), known, dtype=np.float32)
    placed: npt.NDArray[np.float32] = np.matmul(
        tall, _weights(columns, values.shape[1]).T, dtype=np.float32
    )
    if not finite.all():
        nearest = _nearest(values, rows, columns)
        np.copyto(placed, nearest, where=~np.isfinite(nearest))
    return placed


def _weights(positions: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float32]:
    """(pixels, cells): how much each cell adds to each pixel; each row has one or two entries."""
    lower = np.floor(positions).clip(0, max(count - 2, 0)).astype(np.intp)
    upper = np.minimum(lower + 1, count - 1)
    share = positions - lower
    weights = np.zeros((len(positions), count), np.float32)
    pixels = np.arange(len(positions))
    weights[pixels, lower] = 1 - share
    weights[pixels, upper] += share
    return weights
