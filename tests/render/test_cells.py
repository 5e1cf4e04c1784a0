"""Cells with hard edges lie where their strides put them, and lines run between them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cbam_viz import RenderError
from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, InputSpec, photo_shares, prepare, read_photo
from cbam_viz.render import (
    CELL_STYLES,
    CellEdges,
    cell_edges,
    describe_png,
    draw_grid,
    encode,
    method_of,
    place,
)

ODD = Cells(8, 6.5, 0.5, 3.25)
FLIPPED = Cells(-8, 8, 60, 4)


def geometry_of(size: tuple[int, int], view: Any) -> Geometry:
    photo = read_photo(np.zeros((*size, 3), np.uint8))
    return prepare(photo, InputSpec(size=(64, 64)), view).geometry


def test_edges_of_a_resnets_last_stage_are_half_a_stride_from_its_centres() -> None:
    """224 px shown in full: centres at 0.5, 32.5 ... 192.5, the last cell reaching to the end."""
    geometry = Geometry((224, 224), (224, 224), 1, 1, 0, 0)
    edges = cell_edges((7, 7), Cells(32, 32, 0.5, 0.5), geometry)
    assert edges.rows == edges.columns == (0, 16.5, 48.5, 80.5, 112.5, 144.5, 176.5, 224)
    half = cell_edges((7, 7), Cells(32, 32, 0.5, 0.5), geometry, (112, 448))
    assert half.rows[1:3] == (8.25, 24.25)
    assert half.columns[1:3] == (33, 97)


@pytest.mark.parametrize("cells", [ODD, FLIPPED])
@pytest.mark.parametrize("view", ["crop", "whole"])
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (64, 64), (41, 23)])
@pytest.mark.parametrize("shape", [(8, 9), (1, 1), (3, 20), (14, 2)])
def test_areas_between_the_edges_are_those_that_statistics_count_by(
    cells: Cells, view: str, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    geometry = geometry_of(size, view)
    edges = cell_edges(shape, cells, geometry)
    areas = np.outer(np.abs(np.diff(edges.rows)), np.abs(np.diff(edges.columns)))
    top, left, bottom, right = geometry.seen
    assert areas.sum() == pytest.approx((bottom - top) * (right - left))
    np.testing.assert_allclose(
        areas / areas.sum(), photo_shares(shape, cells, geometry), atol=2e-9, rtol=0
    )


@pytest.mark.parametrize("cells", [ODD, FLIPPED])
@pytest.mark.parametrize("view", ["crop", "whole"])
def test_hard_edged_pixels_are_those_between_the_edges(cells: Cells, view: str) -> None:
    size, shape = (300, 451), (8, 9)
    geometry = geometry_of(size, view)
    values = np.random.default_rng(1).random(shape).astype(np.float32)
    placed = place(values, cells, geometry, method=method_of("cells"))
    edges = cell_edges(shape, cells, geometry)
    for row in range(shape[0]):
        for column in range(shape[1]):
            low, high = sorted(edges.rows[row : row + 2])
            start, end = sorted(edges.columns[column : column + 2])
            inside = placed.values[
                int(np.ceil(low)) : int(high), int(np.ceil(start)) : int(end)
            ]  # whole pixels of this cell
            assert (inside == values[row, column]).all()


def test_styles_say_how_a_map_is_placed() -> None:
    assert [method_of(style) for style in CELL_STYLES] == ["bilinear", "nearest", "nearest"]
    with pytest.raises(RenderError, match="'round'"):
        method_of("round")


def grid(
    edges: CellEdges, size: tuple[int, int] = (40, 60), thickness: float = 1
) -> npt.NDArray[Any]:
    return draw_grid(np.full((*size, 3), 100, np.uint8), edges, thickness=thickness)


def test_lines_are_drawn_where_cells_meet_and_nowhere_else() -> None:
    drawn = grid(CellEdges((0, 10.5, 20.5, 40), (0, 30.5, 60)))
    assert (drawn[10, 40] == drawn[20, 40]).all()
    assert drawn[10, 40].tolist() == drawn[30, 30].tolist() == [255, 255, 255]
    rim = round(100 * (1 - 0.55))  # the pixel beside the line is wholly in its rim
    assert drawn[9, 40].tolist() == drawn[11, 40].tolist() == drawn[30, 31].tolist() == [rim] * 3
    untouched = np.ones((40, 60), bool)
    untouched[9:12], untouched[19:22], untouched[:, 29:32] = False, False, False
    assert (drawn[untouched] == 100).all()


def test_a_line_between_two_pixels_covers_half_of_each() -> None:
    drawn = grid(CellEdges((0, 20, 40), (0, 60)))
    rim = 100 * (1 - 0.55)  # both pixels lie wholly in the rim, and half in the line
    assert drawn[19, 5].tolist() == drawn[20, 5].tolist() == [round(rim + 0.5 * (255 - rim))] * 3


def test_lines_end_where_the_network_stopped_looking() -> None:
    drawn = grid(CellEdges((5, 20.5, 35), (10, 10, 30.5, 50, 50)))
    assert (drawn[:5] == 100).all()
    assert (drawn[35:] == 100).all()
    assert (drawn[:, :10] == 100).all()
    assert (drawn[:, 50:] == 100).all()
    assert (drawn[20, 10:50] == 255).all()
    assert (drawn[5:35, 30] == 255).all()


def test_one_cell_has_no_lines_and_narrow_cells_have_thin_ones() -> None:
    assert (grid(CellEdges((0, 40), (0, 60))) == 100).all()
    edges = CellEdges(tuple(range(0, 41, 2)), tuple(range(0, 61, 2)))
    assert 100 < grid(edges, thickness=9).mean() < 160  # still a picture, not a white sheet


def test_a_png_says_what_it_shows() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    text = "layer4.1.se, 7 × 7 cells: lines at 0.17, 0.5"
    described = Image.open(io.BytesIO(describe_png(encode(pixels), text)))
    assert described.text["Description"] == text
    assert (np.asarray(described) == pixels).all()
