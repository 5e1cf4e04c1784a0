"""How much of the photo each cell of a map stands for, and what of the input is no photo.

A cell stands for what a picture of the map draws in its colour: the rectangle around its centre, up
to the midpoints to its neighbours, and, for the outermost cells, up to the edge of the input.
Numbers that are weighted by these areas are the numbers of the picture: the mean of a map is the
mean over the pixels of the photo, whatever lies in a border or hangs over the edge of the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Cells, LayerAttention
from cbam_viz.images.geometry import Geometry

Shares = npt.NDArray[np.float64]

TOUCHING = 1e-9
"""A row or column of cells lies on the photo if it covers more than this share of it; less is the
rounding of a border that ends exactly between two cells."""

_DARK, _LIGHT, _COLOURLESS = 40, 215, 32
"""8-bit levels: up to `_DARK` a border is called black, from `_LIGHT` on white; with channels no
further apart than `_COLOURLESS` it is grey in between (ImageNet's mean colour is 124, 116, 104)."""


def photo_shares(shape: tuple[int, int], cells: Cells | None, geometry: Geometry | None) -> Shares:
    """Share of the seen part of the photo that each cell of a map (h, w) covers; sums to 1.

    0 for cells outside the photo. Where the cells' places or the photo are not known, all cells
    count alike.
    """
    height, width = shape
    if cells is None or geometry is None:
        return np.full(shape, 1 / max(1, height * width))
    top, left, bottom, right = geometry.seen
    (top, left), (bottom, right) = geometry.to_input(top, left), geometry.to_input(bottom, right)
    rows = _shares(top, bottom, cells.offset_y, cells.stride_y, height)
    columns = _shares(left, right, cells.offset_x, cells.stride_x, width)
    return np.outer(rows, columns)


def layer_shares(layer: LayerAttention, geometry: Geometry | None) -> Shares:
    """`photo_shares` of a layer that has a map."""
    assert layer.spatial is not None
    height, width = layer.spatial.shape[1:]
    return photo_shares((height, width), layer.cells, geometry)


def cells_on_photo(layer: LayerAttention, geometry: Geometry | None) -> int:
    """How many cells of a layer's map lie on the photo, in part at least."""
    return int(np.count_nonzero(layer_shares(layer, geometry)))


def numbers_on_photo(values: npt.NDArray[Any], shares: Shares) -> tuple[float, float, float]:
    """Lowest, mean and highest value of a map (h, w) on the photo; NaN where one of them is."""
    on_photo = shares > 0
    shown = np.asarray(values, dtype=np.float64)[on_photo]
    return (
        float(shown.min()),
        float(np.average(shown, weights=shares[on_photo])),
        float(shown.max()),
    )


def _shares(low: float, high: float, offset: float, stride: float, count: int) -> Shares:
    """Of the stretch from `low` to `high` on the input, along one axis; the cells may run back."""
    start, end = sorted(((low - offset) / stride, (high - offset) / stride))
    edges = np.arange(count + 1) - 0.5
    edges[0], edges[-1] = -np.inf, np.inf
    covered: Shares = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    covered[covered <= TOUCHING * (end - start)] = 0
    covered /= covered.sum()
    return covered


def border_note(*geometries: Geometry) -> str:
    """What surrounds the photo in the input, to follow `the photo is`; empty if nothing does.

    Of several photos it is what surrounds any of them.
    """
    bordered = [one for one in geometries if one.border_share]
    if not bordered:
        return ""
    sizes, colours = ({word(one) for one in bordered} for word in (_size, _colour))
    into = sizes.pop() if len(sizes) == 1 else "the input"
    border = f"{colours.pop()} border" if len(colours) == 1 else "border"
    shares = [one.border_share for one in geometries]
    span = dict.fromkeys(_per_cent(share) for share in (min(shares), max(shares)))
    return f"fitted into {into} with a {border}: {' to '.join(span)} % of the input is border"


def _size(geometry: Geometry) -> str:
    height, width = geometry.input_size
    return f"{height} × {width}"


def _colour(geometry: Geometry) -> str:
    if geometry.border is None:
        return "plain"
    low, high = min(geometry.border), max(geometry.border)
    if high <= _DARK:
        return "black"
    if low >= _LIGHT:
        return "white"
    return "grey" if high - low <= _COLOURLESS else "coloured"


def _per_cent(share: float) -> str:
    return "less than 1" if 0 < share < 0.005 else f"{100 * share:.0f}"
