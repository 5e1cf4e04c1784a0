"""The arithmetic of the layouts, in closed form."""

from __future__ import annotations

import pytest

from cbam_viz.figures.draw.plan import (
    BLOCK_GAP,
    GAP,
    TALLEST,
    ColumnRoom,
    GridRoom,
    Rect,
    choose_blocks,
    choose_per_line,
    plan_grid,
    plan_lines,
    split_rows,
)


def room(**changes: object) -> GridRoom:
    settings: dict[str, object] = {
        "width": 300.0, "max_height": 600.0, "columns": (ColumnRoom(),) * 3,
        "aspects": (1.0, 0.5), "head_height": 10.0, "label_width": 20.0,
    }  # fmt: skip
    return GridRoom(**(settings | changes))  # type: ignore[arg-type]


def test_pictures_fill_the_width_exactly() -> None:
    plan = plan_grid(room())
    picture = (300 - 20 - 2 * GAP) / 3
    first, second = plan.cells
    assert first[0] == Rect(20, 10, picture, picture)
    assert first[2].right == pytest.approx(300)
    assert second[1].y == pytest.approx(10 + picture + GAP)
    assert second[1].height == pytest.approx(picture / 2)
    assert plan.height == pytest.approx(10 + picture * 1.5 + GAP)


def test_edges_line_up_in_rows_and_columns() -> None:
    columns = (ColumnRoom(), ColumnRoom(fixed=40), ColumnRoom(margin=7), ColumnRoom())
    plan = plan_grid(room(columns=columns, aspects=(0.7, 1.2, 3.0, 0.2)))
    for row in plan.cells:
        assert len({cell.y for cell in row}) == 1
        assert len({cell.height for cell in row}) == 1
    for column in zip(*plan.cells, strict=True):
        assert len({(cell.x, cell.width) for cell in column}) == 1
    widths = [cell.width for cell in plan.cells[0]]
    assert widths[0] == widths[2] == widths[3]
    assert widths[1] == 40


def test_a_tall_photo_stays_within_its_limit() -> None:
    plan = plan_grid(room(aspects=(5.0,)))
    cell = plan.cells[0][0]
    assert cell.height == pytest.approx(cell.width * TALLEST)
    fitted = cell.fitted(5.0)
    assert fitted.height == pytest.approx(cell.height)
    assert fitted.width == pytest.approx(cell.height / 5)
    assert fitted.x - cell.x == pytest.approx(cell.right - fitted.right)


def test_many_rows_stand_in_blocks_side_by_side() -> None:
    many = room(aspects=(1.0,) * 8, max_height=420)
    assert choose_blocks(room(aspects=(1.0,) * 4, max_height=420)) == 1
    assert choose_blocks(many) == 2
    plan = plan_grid(many)
    assert plan.first_rows == (0, 4)
    assert plan.cells[4][0].y == plan.cells[0][0].y
    block = (300 - BLOCK_GAP) / 2
    assert plan.cells[4][0].x - plan.cells[0][0].x == pytest.approx(block + BLOCK_GAP)
    assert plan.height <= 420


def test_pictures_shrink_where_even_blocks_are_too_high() -> None:
    plan = plan_grid(room(aspects=(1.0,) * 3, max_height=200), blocks=1)
    assert plan.height == pytest.approx(200, abs=0.01)
    picture = plan.cells[0][0].width
    assert plan.cells[0][0].x - 20 == pytest.approx(300 - plan.cells[0][2].right)
    assert 3 * picture + 2 * GAP + 10 == pytest.approx(200, abs=0.01)


@pytest.mark.parametrize(
    ("heights", "blocks", "sizes"),
    [
        ([1] * 6, 2, [3, 3]),
        ([1] * 5, 2, [3, 2]),
        ([1, 1, 1, 3], 2, [3, 1]),
        ([5, 1, 1, 1], 3, [1, 2, 1]),
        ([1, 1], 5, [1, 1]),
    ],
)
def test_rows_are_cut_so_that_the_tallest_block_is_short(
    heights: list[float], blocks: int, sizes: list[int]
) -> None:
    cut = split_rows(heights, blocks)
    assert [row for rows in cut for row in rows] == list(range(len(heights)))
    tallest = max(sum(heights[row] for row in rows) for rows in cut)
    wanted, start = [], 0
    for size in sizes:
        wanted.append(sum(heights[start : start + size]))
        start += size
    assert tallest == max(wanted)
    assert all(len(rows) for rows in cut)


def test_lines_keep_stages_together() -> None:
    # ResNet-50 with the photo in front: 1 + 3, 4, 6, 3.
    assert plan_lines([4, 4, 6, 3], 9) == [[(0, 4), (1, 4)], [(2, 6), (3, 3)]]
    assert plan_lines([4, 4, 6, 3], 4) == [[(0, 4)], [(1, 4)], [(2, 3)], [(2, 3)], [(3, 3)]]
    assert plan_lines([5], 2) == [[(0, 2)], [(0, 1)], [(0, 2)]] or plan_lines([5], 2) == [
        [(0, 2)],
        [(0, 2)],
        [(0, 1)],
    ]


def test_the_line_length_leaves_little_white() -> None:
    assert choose_per_line([4, 4, 6, 3], 495, 44) == 9
    assert choose_per_line([2, 2], 495, 44) == 4
    assert choose_per_line([1] * 16, 495, 96) == 4
