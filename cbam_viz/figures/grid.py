"""Photos as rows, what is shown of them as columns."""

from __future__ import annotations

from dataclasses import dataclass

from cbam_viz.figures.bars import bars_margin, draw_bars, ordered
from cbam_viz.figures.content import (
    Bars,
    Grid,
    MapPicture,
    Place,
    Study,
    Words,
    axis_of,
    bar_weights,
)
from cbam_viz.figures.legend import draw_legend, legend_height
from cbam_viz.figures.marks import draw_marks
from cbam_viz.figures.pictures import Rasters, aspect_of, draw_picture, region_of
from cbam_viz.figures.plan import ColumnRoom, GridPlan, GridRoom, Rect, choose_blocks, plan_grid
from cbam_viz.figures.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.spec import FigureSpec
from cbam_viz.figures.typesetting import NO_BREAK, line_height

HEAD_LINES = 3
NETWORK_LINES = 5
"""Of a network's name in a heading: cut short, two networks may look like one."""
MOST_LINES = 4
"""Of a class's name and its probability together."""
_LOWEST_BARS = 24.0
"""Points: below this height bars cannot be told apart."""
_TALLEST_LABEL = 5.0
"""Type sizes: a row gets no higher than this for its label's sake."""
_HEAD_GAP = 2.0


@dataclass(frozen=True)
class _Drawing:
    """What all steps of the drawing need."""

    spec: FigureSpec
    study: Study
    grid: Grid
    style: Style


def draw_grid(
    spec: FigureSpec, study: Study, grid: Grid, *, what: str = "Spatial attention"
) -> PaperFigure:
    """Draw what `grid_content` found; `what` names the values at the colour bar."""
    drawing = _Drawing(spec, study, grid, style_of(spec))
    columns = _column_rooms(drawing, drawing.style.width)
    blocks = spec.blocks or choose_blocks(_room(drawing, columns, 1))
    columns = _column_rooms(drawing, drawing.style.width / blocks)
    heads = _wrapped_heads(drawing, columns, blocks)
    head_lines = max((len(head) for head in heads), default=0)
    room = _room(drawing, columns, head_lines)
    if _labels_need_two_lines(drawing, room, blocks):
        room = _room(drawing, columns, head_lines, label_lines=2)
    plan = plan_grid(room, blocks)
    has_maps = any(isinstance(place, MapPicture) for row in grid.rows for place in row)
    foot = legend_height(drawing.style) if has_maps else 0.0
    sheet = drawing.style.sheet(plan.height + foot)
    _draw_heads(sheet, plan, heads)
    _draw_labels(sheet, drawing, plan)
    _draw_cells(sheet, drawing, plan)
    if has_maps:
        draw_legend(sheet, what, grid.scale, spec.colormap)
    return sheet.figure


def letter(index: int) -> str:
    """(a), (b), ... (z), (aa)."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("a") + rest) + name
    return f"({name})"


def _kind(drawing: _Drawing, column: int) -> type[Place]:
    return type(drawing.grid.rows[0][column])


def _column_rooms(drawing: _Drawing, width: float) -> tuple[ColumnRoom, ...]:
    """Words get what they need of a block's width; pictures share the rest."""
    style = drawing.style
    rooms = []
    for index in range(len(drawing.grid.columns)):
        kind = _kind(drawing, index)
        if kind is Words:
            texts = [_words(row[index]) for row in drawing.grid.rows]
            texts.append(_head(drawing, index))
            rooms.append(ColumnRoom(fixed=_words_width(style, texts, widest=width / 7)))
        elif kind is Bars:
            rooms.append(ColumnRoom(margin=bars_margin(style, axis_of(bar_weights(drawing.grid)))))
        else:
            rooms.append(ColumnRoom())
    return tuple(rooms)


def _words_width(style: Style, texts: list[str], widest: float) -> float:
    """Enough for one line; where that is more than `widest`, the least that two lines take."""
    lines = [line for text in texts for line in text.split("\n")]
    longest_word = max(style.measure(word) for line in lines for word in (line.split(" ") or [""]))
    widest = max(widest, min(longest_word, 1.8 * widest))
    unbroken = max(style.measure(line) for line in lines)
    if unbroken <= widest:
        return unbroken + 4
    width = widest
    for narrower in range(int(width), 15, -1):
        if any(_cut(style, line, narrower) for line in lines):
            break
        width = narrower
    return width + 4


def _cut(style: Style, line: str, width: float) -> bool:
    """Whether two lines of that width do not hold the text."""
    wrapped = style.wrap(line, width, lines=2)
    return "".join(wrapped).replace(" ", "") != line.replace(" ", "")


def _head(drawing: _Drawing, index: int) -> str:
    head = drawing.grid.heads[index] if drawing.spec.heads else ""
    if drawing.spec.letters == "columns":
        return f"{letter(index)}{NO_BREAK}{head}" if head else letter(index)
    return head


def _wrapped_heads(
    drawing: _Drawing, columns: tuple[ColumnRoom, ...], blocks: int
) -> list[list[str]]:
    room = _room(drawing, columns, 1)
    picture = room.picture_width(min(blocks, len(room.aspects)))
    heads = []
    for index, column in enumerate(columns):
        width = (picture if column.fixed is None else column.fixed) + 1
        text = _head(drawing, index)
        heads.append(_wrap_head(drawing.style, text, width) if text else [])
    return heads


def _wrap_head(style: Style, text: str, width: float) -> list[str]:
    """At most `HEAD_LINES` lines, after those of a network's name."""
    *network, shown = text.split("\n")
    last = style.wrap(shown, width, lines=HEAD_LINES - 1 if network else HEAD_LINES)
    return [*style.wrap(" ".join(network), width, lines=NETWORK_LINES), *last] if network else last


def _labels_need_two_lines(drawing: _Drawing, room: GridRoom, blocks: int) -> bool:
    """Whether a row's label is longer than the row is high."""
    picture = room.picture_width(min(blocks, len(room.aspects)))
    return any(
        drawing.style.measure(_label(drawing, row)) > room.row_height(row, picture)
        for row in range(len(room.aspects))
    )


def _label(drawing: _Drawing, row: int) -> str:
    label = drawing.grid.labels[row]
    if drawing.spec.letters == "rows":
        return f"{letter(row)}{NO_BREAK}{label}" if label else letter(row)
    return label


def _room(
    drawing: _Drawing,
    columns: tuple[ColumnRoom, ...],
    head_lines: int,
    label_lines: int = 1,
) -> GridRoom:
    style, grid = drawing.style, drawing.grid
    regions = [
        region_of(row[0], drawing.spec.row(index), drawing.spec)
        for index, row in enumerate(drawing.study.analyses)
    ]
    kinds = [_kind(drawing, index) for index in range(len(columns))]
    has_bars = Bars in kinds
    has_maps = MapPicture in kinds
    return GridRoom(
        width=style.width,
        max_height=style.max_height - (legend_height(style) if has_maps else 0),
        columns=columns,
        aspects=tuple(aspect_of(region) for region in regions),
        head_height=head_lines * line_height(style.size) + _HEAD_GAP if head_lines else 0.0,
        label_width=label_lines * line_height(style.size) + 2
        if any(_label(drawing, row) for row in range(len(regions)))
        else 0.0,
        min_heights=tuple(
            max(
                _text_height(style, row, columns),
                _label_height(style, _label(drawing, index)),
                _LOWEST_BARS if has_bars else 0.0,
            )
            for index, row in enumerate(grid.rows)
        ),
        foot_height=style.small + 2.5 if has_bars else 0.0,
    )


def _text_height(style: Style, row: tuple[Place, ...], columns: tuple[ColumnRoom, ...]) -> float:
    """What the texts of a row need."""
    heights = [0.0]
    for place, column in zip(row, columns, strict=True):
        if isinstance(place, Words):
            lines = _wrap_words(style, place.text, column.fixed or style.width, MOST_LINES)
            heights.append(len(lines) * line_height(style.size))
    return max(heights)


def _label_height(style: Style, label: str) -> float:
    """What the longest word of a row's label needs, within limits: it stands upright."""
    longest = max((style.measure(word) for word in label.split(" ")), default=0.0)
    return min(longest + 1, _TALLEST_LABEL * style.size)


def _draw_heads(sheet: Sheet, plan: GridPlan, heads: list[list[str]]) -> None:
    for block, rects in enumerate(plan.heads):
        for index, (rect, lines) in enumerate(zip(rects, heads, strict=True)):
            room = Rect(rect.x, rect.y, rect.width, rect.height - _HEAD_GAP)
            sheet.lines(room, lines, va="bottom", gid=f"head {index + 1} of block {block + 1}")


def _draw_labels(sheet: Sheet, drawing: _Drawing, plan: GridPlan) -> None:
    for index, rect in enumerate(plan.labels):
        label = _label(drawing, index)
        if not label:
            continue
        step = line_height(sheet.size)
        lines = drawing.style.wrap(label, rect.height, lines=max(1, int(rect.width // step)))
        y = rect.y + rect.height / 2
        # The last line stands next to the picture.
        x = rect.x + rect.width - 2 - 0.24 * sheet.size - step * (len(lines) - 1)
        for number, line in enumerate(lines):
            name = f"row {index + 1} label" + (f" line {number + 1}" if number else "")
            sheet.text(x + number * step, y, line, rotation=90, gid=name)


def _draw_cells(sheet: Sheet, drawing: _Drawing, plan: GridPlan) -> None:
    rasters = Rasters(drawing.spec.image_dpi)
    axis = axis_of(bar_weights(drawing.grid))
    last_rows = {*(first - 1 for first in plan.first_rows), len(plan.cells) - 1}
    number = 0
    for r, (row, rects) in enumerate(zip(drawing.grid.rows, plan.cells, strict=True)):
        for c, (place, rect) in enumerate(zip(row, rects, strict=True)):
            gid = f"row {r + 1} column {c + 1}"
            if isinstance(place, Words):
                room = int((rect.height + 0.01) // line_height(sheet.size))
                lines = _wrap_words(drawing.style, place.text, rect.width, max(1, room))
                sheet.lines(rect, lines, gid=gid)
            elif isinstance(place, Bars):
                shown = ordered(place.weights, drawing.spec.order)
                draw_bars(
                    sheet, rect, shown, gid=gid, axis=axis, x_labels=r in last_rows,
                    order=drawing.spec.order,
                )  # fmt: skip
            else:
                settings = drawing.spec.row(r)
                drawn = draw_picture(
                    sheet, rect, place, spec=drawing.spec, row=settings, rasters=rasters, gid=gid
                )
                mark = letter(number) if drawing.spec.letters == "cells" else ""
                draw_marks(sheet, drawn, drawing.spec, settings, mark)
                number += 1


def _words(place: Place) -> str:
    return place.text if isinstance(place, Words) else ""


def _wrap_words(style: Style, text: str, width: float, most: int) -> list[str]:
    """The text in at most so many lines; a number in its last line is kept whole."""
    *first, last = text.split("\n")
    if not first:
        return style.wrap(last, width, lines=most)
    return [*style.wrap("\n".join(first), width, lines=max(1, most - 1)), last]
