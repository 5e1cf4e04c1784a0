"""A map's cells themselves: with hard edges, and with lines along these.

A map can be drawn in three ways. `smooth` interpolates between the centres of cells, `cells` shows
each cell in its own colour, and `grid` does that with lines between the cells. The three differ in
two steps of the way to a picture:

    placed = place(values, cells, geometry, size, method=method_of(style))
    picture = overlay(photo, placed, scale=scale)
    if style == "grid":
        picture = draw_grid(picture, cell_edges(values.shape, cells, geometry, size))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Cells
from cbam_viz.errors import RenderError
from cbam_viz.images import Geometry
from cbam_viz.render.overlay import Pixels
from cbam_viz.render.placement import Method

CellStyle = Literal["smooth", "cells", "grid"]

CELL_STYLES: tuple[CellStyle, ...] = ("smooth", "cells", "grid")
"""Ways to draw a map, the default first."""

_RIM_STRENGTH = 0.55
"""How dark the rim beside a light line is; together they show on any colour."""

_THINNEST = 1 / 6
"""A line takes at most this share of the cells between which it runs."""


@dataclass(frozen=True)
class CellEdges:
    """Where the cells of a map (h, w) meet on a picture, in its pixels (pixel k is [k, k + 1)).

    Row `i` covers what lies between `rows[i]` and `rows[i + 1]`, of the part of the picture that
    the network saw; the same holds for columns. A cell outside that part has no extent. Together
    the cells cover the part exactly, as in `cbam_viz.images.photo_shares`.
    """

    rows: tuple[float, ...]
    """h + 1 positions down the picture; they run upwards where the network flipped its features."""
    columns: tuple[float, ...]
    """w + 1 positions across."""


def method_of(style: str) -> Method:
    """How `place` puts a map that is to be drawn in this style. Raises RenderError if unknown."""
    if style not in CELL_STYLES:
        raise RenderError(f"There is no style {style!r}. Choose one of {', '.join(CELL_STYLES)}.")
    return "bilinear" if style == "smooth" else "nearest"


def cell_edges(
    shape: Sequence[int], cells: Cells, geometry: Geometry, size: tuple[int, int] | None = None
) -> CellEdges:
    """Edges of the cells of a map (h, w) on the photo, or on a copy of height and width `size`.

    A cell reaches half a stride to each side of its centre; the outermost ones reach to the edge of
    what the network saw, so that these are the rectangles of `place(..., method="nearest")`.
    """
    height, width = size or geometry.photo_size
    down, across = height / geometry.photo_size[0], width / geometry.photo_size[1]
    top, left, bottom, right = geometry.seen
    rows = _edges(shape[0], cells.offset_y, cells.stride_y)
    columns = _edges(shape[1], cells.offset_x, cells.stride_x)
    y = (geometry.offset_y + rows * geometry.scale_y).clip(top, bottom) * down
    x = (geometry.offset_x + columns * geometry.scale_x).clip(left, right) * across
    return CellEdges(tuple(y.tolist()), tuple(x.tolist()))


def draw_grid(pixels: Pixels, edges: CellEdges, *, thickness: float | None = None) -> Pixels:
    """Draw a light line with a dark rim wherever two cells meet; uint8 RGB (H, W, 3), a new array.

    Lines are smooth at their edges and end where the outermost cells do. `thickness` is in pixels;
    by default it goes with the picture's size, and lines between narrow cells are thinner.
    """
    picture = pixels.astype(np.float32)
    top, bottom = sorted((edges.rows[0], edges.rows[-1]))
    left, right = sorted((edges.columns[0], edges.columns[-1]))
    inside = (_covered(top, bottom, len(picture)), _covered(left, right, picture.shape[1]))
    width = min(
        thickness or max(1.0, max(pixels.shape[:2]) / 640),
        _THINNEST * min(_narrowest(edges.rows), _narrowest(edges.columns)),
    )
    for wide, level, strength in ((3 * width, 0.0, _RIM_STRENGTH), (width, 255.0, 1.0)):
        share = _lines(edges, wide, inside) * np.float32(strength)
        picture += share[..., None] * (np.float32(level) - picture)
    drawn: Pixels = np.rint(picture).astype(np.uint8)
    return drawn


def _edges(count: int, offset: float, stride: float) -> npt.NDArray[np.float64]:
    """On the input, along one axis: between neighbours; the outermost are infinitely far."""
    edges = offset + (np.arange(count + 1, dtype=np.float64) - 0.5) * np.float64(stride)
    far = np.copysign(np.inf, stride)
    edges[0], edges[-1] = -far, far
    return edges


def _covered(low: float, high: float, count: int) -> npt.NDArray[np.float32]:
    """Share of each of `count` pixels that lies between `low` and `high`."""
    pixel = np.arange(count)
    shares = np.minimum(pixel + 1, high) - np.maximum(pixel, low)
    return shares.clip(0, 1).astype(np.float32)


def _lines(
    edges: CellEdges, width: float, inside: tuple[npt.NDArray[Any], npt.NDArray[Any]]
) -> npt.NDArray[np.float32]:
    """(H, W): share of each pixel that lines between cells cover."""
    down, across = (
        np.max(
            [np.zeros_like(pixels)]
            + [_covered(at - width / 2, at + width / 2, len(pixels)) for at in _inner(positions)],
            axis=0,
        )
        for positions, pixels in zip((edges.rows, edges.columns), inside, strict=True)
    )
    shares: npt.NDArray[np.float32] = np.maximum(
        np.outer(down, inside[1]), np.outer(inside[0], across)
    )
    return shares


def _inner(positions: Sequence[float]) -> list[float]:
    """Edges with a cell of some extent on either side, each once."""
    ends = (positions[0], positions[-1])
    return sorted(set(positions[1:-1]) - set(ends))


def _narrowest(positions: Sequence[float]) -> float:
    """The smallest extent of a whole cell, or of all if fewer than two lines are drawn."""
    inner = _inner(positions)
    return float(min(np.diff(inner), default=abs(positions[-1] - positions[0])))
