"""Where the cells of a map lie on the input, from its layout."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...attention import Cells
from .axes import COLUMN, ROW, Factor, Layout, as_image, axis_size, find, labels, plain_layout


def cells_of(layout: Layout, input_size: tuple[int, int], map_size: tuple[int, int]) -> Cells:
    """Where the cells of a map with this layout lie; spread evenly where that is not known."""
    places = _places(layout)
    if places is None:
        return even_cells(input_size, map_size)
    row, column = places
    apart = math.inf if row.rolled or column.rolled else max(row.apart, column.apart)
    within = round(apart, 6) if math.isfinite(apart) else None
    return Cells(row.step, column.step, row.centre, column.centre, apart == 0, within)


def upright(layout: Layout) -> Layout:
    """The layout of a map whose first axis should be rows; a plain one if it lies on its side."""
    image = as_image(layout)
    turned = len(image) == 4 and bool(labels(image[2]) & {COLUMN} or labels(image[3]) & {ROW})
    return plain_layout([axis_size(axis) for axis in layout]) if turned else layout


def are_placed(layout: Layout) -> bool:
    """True if it is known where the cells lie, at least roughly."""
    return _places(layout) is not None


def _places(layout: Layout) -> tuple[Factor, Factor] | None:
    layout = as_image(layout)
    row, column = find(layout, ROW), find(layout, COLUMN)
    if row is None or column is None or not row.step or not column.step:
        return None
    return row, column


def even_cells(input_size: tuple[int, int], map_size: tuple[int, int]) -> Cells:
    """Cells spread evenly over the input, for a map whose true placement is not known."""
    step_y, step_x = (input_size[k] / max(map_size[k], 1) for k in (0, 1))
    return Cells(step_y, step_x, step_y / 2, step_x / 2, exact=False, within=None)


def overhang(
    cells: Cells, map_shape: Sequence[int], input_size: tuple[int, int]
) -> tuple[float, float]:
    """How far the cells of a map, (B, h, w), reach beyond the input, in cells.

    Another size of input changes it by a fraction of a cell, another way to the map by more.
    """
    return (
        map_shape[-2] - input_size[0] / abs(cells.stride_y),
        map_shape[-1] - input_size[1] / abs(cells.stride_x),
    )


def holds_for_other_sizes(layout: Layout) -> bool:
    """True if the cells are placed, and nothing on the way depends on the size of the input."""
    places = _places(layout)
    return places is not None and all(factor.fixed for factor in places)
