"""Where the cells of a map lie on the input, from its layout."""

from __future__ import annotations

from collections.abc import Sequence

from ..attention import Cells
from .axes import COLUMN, ROW, Layout, find


def cells_of(layout: Layout, input_size: tuple[int, int], map_size: tuple[int, int]) -> Cells:
    """Where the cells of a map with this layout lie; spread evenly where that is not known."""
    row, column = find(layout, ROW), find(layout, COLUMN)
    if row is not None and column is not None and row.step and column.step:
        exact = row.exact and column.exact
        return Cells(row.step, column.step, row.centre, column.centre, exact)
    return even_cells(input_size, map_size)


def even_cells(input_size: tuple[int, int], map_size: tuple[int, int]) -> Cells:
    """Cells spread evenly over the input, for a map whose true placement is not known."""
    step_y, step_x = (input_size[k] / max(map_size[k], 1) for k in (0, 1))
    return Cells(step_y, step_x, step_y / 2, step_x / 2, exact=False)


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
    """True if nothing on the way here depends on the size of the input."""
    return all(factor.fixed for axis in layout for factor in axis)
