"""Where things go: arithmetic in points from the top left, without matplotlib.

Pictures of a row share one height and pictures of a column one width, so that all edges line up; a
row's height follows its photo's shape, within limits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from cbam_viz.errors import FigureError
from cbam_viz.figures.paper.rect import Rect

TALLEST = 1.6
"""A picture is at most so many times as high as it is wide; a taller photo gets white at its
sides."""

GAP = 3.0
"""Between pictures."""

BLOCK_GAP = 11.0
"""Between blocks of rows that are set side by side."""

MIN_PICTURE = 30.0
"""Below this width little can be seen."""

LEAST_PICTURE = 6.0
"""Below this width or height nothing can."""


@dataclass(frozen=True)
class ColumnRoom:
    """What a column needs: a fixed width, or a share of what is left, with a margin at its left."""

    fixed: float | None = None
    margin: float = 0.0


@dataclass(frozen=True)
class GridPlan:
    """Rectangles of a grid's places, and of what stands around them."""

    cells: tuple[tuple[Rect, ...], ...]
    """By row, then by column."""
    heads: tuple[tuple[Rect, ...], ...]
    """By block, then by column: the room above the first row."""
    labels: tuple[Rect, ...]
    """By row: the room at its left."""
    first_rows: tuple[int, ...]
    """Index of each block's first row."""
    height: float
    """Of the whole, from 0."""


@dataclass(frozen=True)
class GridRoom:
    """The figure's width and what must fit into it."""

    width: float
    max_height: float
    columns: tuple[ColumnRoom, ...]
    aspects: tuple[float, ...]
    """Of each row: height over width of its photo."""
    head_height: float = 0.0
    label_width: float = 0.0
    min_heights: tuple[float, ...] = ()
    """Of each row: what its text needs; empty if there is none."""
    below: tuple[float, ...] = ()
    """Of each row: what stands below its pictures; empty if nothing does."""
    foot_height: float = 0.0
    """Below the last row of each block: a chart's axis."""

    def picture_width(self, blocks: int) -> float:
        """Width of a picture if the rows stand in so many blocks."""
        block = (self.width - (blocks - 1) * BLOCK_GAP) / blocks
        fixed = sum((c.fixed or 0.0) + c.margin for c in self.columns)
        free = sum(c.fixed is None for c in self.columns)
        left = block - self.label_width - fixed - GAP * (len(self.columns) - 1)
        return left / free if free else 0.0

    def row_height(self, row: int, picture: float) -> float:
        """Height of a row whose pictures are so wide."""
        least = self.min_heights[row] if self.min_heights else 0.0
        below = self.below[row] if self.below else 0.0
        return max(picture * min(self.aspects[row], TALLEST), least) + below

    def split(self, blocks: int, picture: float) -> list[range]:
        """Rows shared out over blocks so that the tallest block is as short as can be."""
        rows = range(len(self.aspects))
        return split_rows([self.row_height(row, picture) + GAP for row in rows], blocks)

    def height(self, blocks: int, picture: float | None = None) -> float:
        """Height of the whole if the rows stand in so many blocks."""
        picture = self.picture_width(blocks) if picture is None else picture
        return max(
            self.head_height
            + sum(self.row_height(row, picture) for row in rows)
            + GAP * (len(rows) - 1)
            + self.foot_height
            for rows in self.split(blocks, picture)
        )


def check_size(
    width: float, height: float, pictures: int, page: tuple[float, float], what: str = "pictures"
) -> None:
    """Refuse a figure of pictures that nobody could see.

    Raises:
        FigureError: the text says what to change.
    """
    if min(width, height) < LEAST_PICTURE:
        raise FigureError(
            f"{pictures} {what} have no room in a figure of {page[0]:.0f} × {page[1]:.0f} points. "
            "Choose fewer layers, columns or photos, or a wider figure or longer page."
        )


def split_rows(heights: Sequence[float], blocks: int) -> list[range]:
    """Cut rows into so many runs, none empty, with the tallest run as short as can be.

    Of equally good cuts the one with the longer first run is taken, so that 5 rows become 3 and 2.
    """
    count = len(heights)
    blocks = min(blocks, count)
    total = [0.0, *itertools.accumulate(heights)]
    # tallest[n]: the best cut of the first n rows, as (height of its tallest run, where it cuts).
    tallest: list[tuple[float, tuple[int, ...]]] = [(total[n], (0, n)) for n in range(count + 1)]
    for block in range(2, blocks + 1):
        for n in range(count, block - 1, -1):
            tallest[n] = min(
                (
                    (round(max(tallest[k][0], total[n] - total[k]), 6), (*tallest[k][1], n))
                    for k in range(n - 1, block - 2, -1)
                ),
                key=lambda cut: cut[0],
            )
    return [range(a, b) for a, b in itertools.pairwise(tallest[count][1])]


def choose_blocks(room: GridRoom) -> int:
    """The fewest blocks that keep the figure on its page, as far as pictures stay visible.

    Fewer blocks, with pictures smaller than the width allows, are taken where these fill more of
    the figure.
    """
    shares = {}
    for blocks in range(1, len(room.aspects) + 1):
        full = room.picture_width(blocks)
        if blocks > 1 and full < MIN_PICTURE:
            break
        size = _shrunk(room, blocks, full)
        shares[blocks] = size**2 / room.height(blocks, size)
        if size == full:
            break
    return max(shares, key=lambda blocks: (shares[blocks], -blocks))


def plan_grid(room: GridRoom, blocks: int | None = None) -> GridPlan:
    """Place everything; pictures get smaller than their room where the page is too short."""
    blocks = min(blocks or choose_blocks(room), len(room.aspects))
    full = room.picture_width(blocks)
    picture = _shrunk(room, blocks, full)
    block_width = (room.width - (blocks - 1) * BLOCK_GAP) / blocks
    spare = (full - picture) * sum(c.fixed is None for c in room.columns)
    cells: list[tuple[Rect, ...]] = []
    heads: list[tuple[Rect, ...]] = []
    labels: list[Rect] = []
    groups = room.split(blocks, picture)
    for block, rows in enumerate(groups):
        left = block * (block_width + BLOCK_GAP) + spare / 2
        columns = _columns(room, left, picture)
        heads.append(tuple(Rect(x, 0.0, width, room.head_height) for x, width in columns))
        y = room.head_height
        for row in rows:
            height = room.row_height(row, picture)
            labels.append(Rect(left, y, room.label_width, height))
            cells.append(tuple(Rect(x, y, width, height) for x, width in columns))
            y += height + GAP
    return GridPlan(
        tuple(cells),
        tuple(heads),
        tuple(labels),
        tuple(rows.start for rows in groups),
        room.height(blocks, picture),
    )


def _shrunk(room: GridRoom, blocks: int, full: float) -> float:
    """The picture width at which the height fits the page."""
    if room.height(blocks, full) <= room.max_height or not full:
        return full
    low, high = min(LEAST_PICTURE, full), full
    if room.height(blocks, low) > room.max_height:  # texts alone are longer than the page
        return min(MIN_PICTURE, full)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if room.height(blocks, middle) <= room.max_height else (low, middle)
        )
    return low


def _columns(room: GridRoom, left: float, picture: float) -> list[tuple[float, float]]:
    x = left + room.label_width
    result = []
    for column in room.columns:
        x += column.margin
        width = picture if column.fixed is None else column.fixed
        result.append((x, width))
        x += width + GAP
    return result


def plan_lines(groups: Sequence[int], per_line: int) -> list[list[tuple[int, int]]]:
    """Lines of at most `per_line` places, as (group, number of its places) runs.

    A group stays on one line if it fits on one; a longer one is cut into even pieces.
    """
    runs: list[tuple[int, int]] = []
    for group, size in enumerate(groups):
        pieces = math.ceil(size / per_line)
        edges = [math.ceil(size * k / pieces) for k in range(pieces + 1)]
        runs += [(group, b - a) for a, b in itertools.pairwise(edges)]
    lines: list[list[tuple[int, int]]] = []
    room = 0
    for run in runs:
        if run[1] > room:
            lines.append([])
            room = per_line
        lines[-1].append(run)
        room -= run[1]
    return lines


def choose_per_line(groups: Sequence[int], width: float, smallest: float) -> int:
    """How many places a line holds so that the fewest stay empty; fewer lines win a tie."""
    most = max(1, int((width + GAP) // (smallest + GAP)))
    total = sum(groups)
    if total <= most:
        return total

    def cost(per_line: int) -> tuple[float, int]:
        lines = len(plan_lines(groups, per_line))
        empty = lines * per_line - total
        return empty / (lines * per_line) + 0.04 * lines, -per_line

    return min(range(max(1, most // 2), most + 1), key=cost)
