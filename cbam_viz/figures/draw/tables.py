"""Tables as coloured cells, in lines, with the names of rows and columns and one colour bar."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.stores.tables import Table, Tables
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.legend import Legend, draw_legend, legend_of
from cbam_viz.figures.draw.pictures import draw_matrix
from cbam_viz.figures.draw.plan import check_size
from cbam_viz.figures.draw.trees import draw_tree, tree_room
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import letter
from cbam_viz.render import colorize

_CELL = 12.0
"""Points: as high and wide as a cell gets."""
_LEAST = 3.0
_GAP_X, _GAP_Y, _HEAD_GAP, _NAME_GAP = 10.0, 6.0, 1.5, 3.0
_NAMES = 0.34
"""Of a table's width: what the names of rows may take."""
_LONGEST_NAME, _FOOT = 110.0, 0.4
"""Points of a column's name, which stands upright, and its share of the page's height."""


@dataclass(frozen=True)
class _Plan:
    """Where everything stands."""

    style: Style
    legend: Legend
    heads: Heads
    names: float
    """Room for names of rows."""
    foot: float
    """Room for names of columns."""
    tree: float
    cell: tuple[float, float]
    """Height and width."""
    rects: tuple[Rect, ...]
    tables: tuple[Table, ...]
    """With the names that are drawn."""
    per_line: int
    whole: bool
    """Whether no name is cut or broken inside a word."""

    @property
    def height(self) -> float:
        """Of the whole figure."""
        return max(rect.bottom for rect in self.rects) + self.foot + self.legend.height


def draw(spec: FigureSpec, study: Study, content: Tables) -> PaperFigure:
    """Draw all tables on one scale."""
    usual = style_of(spec)
    plan = _plan(spec, content, usual)
    if plan.cell[0] < line_height(usual.size) or not plan.heads.whole:
        plan = _plan(spec, content, usual.smaller)
    sheet = plan.style.sheet(plan.height)
    for number, (table, rect) in enumerate(zip(plan.tables, plan.rects, strict=True), 1):
        pixels = colorize(table.values.astype("float32"), content.scale, spec.colormap)
        draw_matrix(sheet, rect, pixels, f"table {number}")
        _draw_names(sheet, rect, table, plan, number)
        if table.tree is not None:
            draw_tree(sheet, table.tree, rect, plan.tree, f"table {number} tree")
        top = plan.heads.height(plan.style)
        room = Rect(rect.x - plan.names, rect.y - _HEAD_GAP - top, rect.width + plan.names, top)
        draw_head(sheet, room, plan.heads.lines[number - 1], f"head {number}")
    draw_legend(sheet, plan.legend)
    return sheet.figure


def _plan(spec: FigureSpec, content: Tables, style: Style) -> _Plan:
    """As many tables in a line as leave names whole and cells as large as they need be."""
    count = len(content.tables)
    ways = range(1, count + 1) if spec.per_line is None else (min(spec.per_line, count),)
    best = max((_lined(spec, content, style, way) for way in ways), key=_worth)
    if not best.whole and _is_square(content):
        numbered = replace(content, tables=_numbered(content.tables))
        best = max((best, *(_lined(spec, numbered, style, way) for way in ways)), key=_worth)
    page = style.width, style.max_height
    rows, columns = _most(content)
    # A cell of three points is the least that can be told from its neighbours.
    check_size(2 * best.cell[1], 2 * best.cell[0], rows * columns, page, "cells")
    return best


def _is_square(content: Tables) -> bool:
    """Whether rows and columns are the same."""
    return all(one.rows == one.columns for one in content.tables)


def _numbered(tables: Sequence[Table]) -> tuple[Table, ...]:
    """The same with numbers, so that names stand at the rows alone."""
    number = {name: n for n, name in enumerate(tables[0].rows, 1)}
    return tuple(
        replace(
            one,
            rows=tuple(f"{number[name]} {name}" for name in one.rows),
            columns=tuple(f"{number[name]}" for name in one.columns),
        )
        for one in tables
    )


def _worth(plan: _Plan) -> tuple[bool, bool, float, int]:
    cell = min(plan.cell)
    return cell >= _LEAST, plan.whole, min(cell, _CELL), plan.per_line


def _most(content: Tables) -> tuple[int, int]:
    return (
        max(len(one.rows) for one in content.tables),
        max(len(one.columns) for one in content.tables),
    )


def _lined(spec: FigureSpec, content: Tables, style: Style, per_line: int) -> _Plan:
    tables = content.tables
    rows, columns = _most(content)
    tree = tree_room(style.width) if any(one.tree for one in tables) else 0.0
    room = (style.width - _GAP_X * (per_line - 1)) / per_line
    longest = max(style.measure(name, style.small) for one in tables for name in one.rows)
    square = all(len(one.rows) == len(one.columns) for one in tables)
    spare = room - tree - _CELL * columns
    names = min(longest + _NAME_GAP, max(_NAMES * room, spare))
    foot = max(style.measure(name, style.small) for one in tables for name in one.columns)
    foot = min(foot, _LONGEST_NAME, _FOOT * style.max_height) + _NAME_GAP
    legend = legend_of(style, content.what.capitalize(), content.scale, spec.colormap)
    texts = [_head(spec, one, number) for number, one in enumerate(tables)]
    heads = break_heads(style, texts, [room + 1] * len(tables))
    above = heads.height(style) + _HEAD_GAP if heads.height(style) else 0.0
    lines = -(-len(tables) // per_line)
    free = (style.max_height - legend.height - _GAP_Y * (lines - 1)) / lines - above - foot
    width = min((room - names - tree) / columns, 2.5 * _CELL)
    height = min(free / rows, _CELL if rows != columns else width)
    if square:
        width = height = min(width, height, 1.5 * _CELL)
    used = names + width * columns + tree
    left = max(0.0, (style.width - used * per_line - _GAP_X * (per_line - 1)) / 2)
    step = above + height * rows + foot + _GAP_Y
    rects = tuple(
        Rect(
            left + (number % per_line) * (used + _GAP_X) + names,
            (number // per_line) * step + above,
            width * len(one.columns),
            height * len(one.rows),
        )
        for number, one in enumerate(tables)
    )
    whole = heads.whole and all(
        style.fits(name, space, size=style.small, lines=_name_lines(style, side))
        for one in tables
        for some, space, side in (
            (one.rows, names - _NAME_GAP, height), (one.columns, foot - _NAME_GAP + 1, width),
        )
        for name in some
    )  # fmt: skip
    cell = height, width
    return _Plan(style, legend, heads, names, foot, tree, cell, rects, tables, per_line, whole)


def _name_step(style: Style | Sheet, side: float) -> int:
    """Every how many rows or columns of that height or width a name has room."""
    return max(1, round(0.9 * line_height(style.small) / max(side, 1e-6) + 0.49))


def _name_lines(style: Style | Sheet, side: float) -> int:
    """How many lines of type a name has there."""
    return max(1, int(_name_step(style, side) * side // line_height(style.small)))


def _head(spec: FigureSpec, table: Table, number: int) -> str:
    if not spec.heads or not table.head:
        return ""
    return table.head if spec.letters == "none" else f"{letter(number)} {table.head}"


def _draw_names(sheet: Sheet, rect: Rect, table: Table, plan: _Plan, number: int) -> None:
    """Names of rows at the left and of columns below; every so many where there is no room."""
    height, width = plan.cell
    type_step = line_height(sheet.small)
    step, most = _name_step(sheet, height), _name_lines(sheet, height)
    for row, name in itertools.islice(enumerate(table.rows), 0, None, step):
        room = Rect(rect.x - plan.names, rect.y + row * height, plan.names - _NAME_GAP, height)
        text = plan.style.wrap(name, room.width, size=sheet.small, lines=most)
        gid = f"table {number} row {row + 1}"
        sheet.lines(room, text, size=sheet.small, ha="right", gid=gid)
    step, most = _name_step(sheet, width), _name_lines(sheet, width)
    for column, name in itertools.islice(enumerate(table.columns), 0, None, step):
        lines = plan.style.wrap(name, plan.foot - _NAME_GAP + 1, size=sheet.small, lines=most)
        x = rect.x + (column + 0.5) * width + 0.33 * sheet.small - type_step * (len(lines) - 1) / 2
        y = rect.bottom + _NAME_GAP
        for down, line in enumerate(lines):
            gid = f"table {number} column {column + 1}" + (f" line {down + 1}" if down else "")
            at = x + down * type_step
            sheet.text(at, y, line, size=sheet.small, ha="right", rotation=90, gid=gid)
