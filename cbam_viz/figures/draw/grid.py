"""Photos as rows, what is shown of them as columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import (
    Bars,
    Grid,
    MapPicture,
    Place,
    Study,
    Words,
    axis_of,
    bar_weights,
)
from cbam_viz.figures.draw.bars import bars_margin, draw_bars, ordered
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.legend import Legend, draw_legend, legend_of
from cbam_viz.figures.draw.marks import draw_marks
from cbam_viz.figures.draw.pictures import Rasters, aspect_of, draw_picture, region_of
from cbam_viz.figures.draw.plan import (
    MIN_PICTURE,
    ColumnRoom,
    GridPlan,
    GridRoom,
    Rect,
    check_size,
    choose_blocks,
    plan_grid,
)
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import NO_BREAK, line_height

MOST_LINES = 4
"""Of a class's name and its probability together."""
LABEL_LINES = 3
"""Of a row's label, at most."""
_LOWEST_BARS = 24.0
"""Points: below this height bars cannot be told apart."""
_TALLEST_LABEL = 5.0
"""Type sizes: a row gets no higher than this for its label's sake."""
_HEAD_GAP = 2.0
_ROUNDS = 4
"""In which headings and pictures come to fit each other on a short page."""


@dataclass(frozen=True)
class _Drawing:
    """What all steps of the drawing need."""

    spec: FigureSpec
    study: Study
    grid: Grid
    style: Style
    what: str
    """What the values of maps are, at the colour bar."""

    @cached_property
    def legend(self) -> Legend | None:
        """The colour bar; None where there are no maps."""
        if not any(isinstance(place, MapPicture) for row in self.grid.rows for place in row):
            return None
        return legend_of(self.style, self.what, self.grid.scale, self.spec.colormap)


def draw_grid(
    spec: FigureSpec, study: Study, grid: Grid, *, what: str = "Spatial attention"
) -> PaperFigure:
    """Draw what `grid_content` found; `what` names the values at the colour bar."""
    usual = style_of(spec)
    drawing = _Drawing(spec, study, grid, usual, what)
    arranged = _arrange(drawing)
    if not arranged.comfortable:
        drawing = replace(drawing, style=usual.smaller)
        arranged = _arrange(drawing)
    plan, legend = arranged.plan, drawing.legend
    sheet = drawing.style.sheet(plan.height + (legend.height if legend else 0.0))
    _draw_heads(sheet, plan, arranged.heads)
    _draw_labels(sheet, drawing, plan)
    _draw_cells(sheet, drawing, plan)
    if legend:
        draw_legend(sheet, legend)
    return sheet.figure


@dataclass(frozen=True)
class _Arranged:
    """Where everything goes, and how the headings break."""

    plan: GridPlan
    heads: Heads
    comfortable: bool
    """Whether the usual type will do."""


def _arrange(drawing: _Drawing) -> _Arranged:
    columns = _column_rooms(drawing, drawing.style.width)
    blocks = drawing.spec.blocks or choose_blocks(_room(drawing, columns, _line(drawing)))
    blocks = min(blocks, len(drawing.grid.rows))
    columns = _column_rooms(drawing, drawing.style.width / blocks)
    full = _room(drawing, columns, 0.0).picture_width(blocks)
    page = drawing.style.width, drawing.style.max_height
    pictures = len(columns) * len(drawing.grid.rows)
    if any(column.fixed is None for column in columns):
        check_size(full, full, pictures, page)
    plan, picture, label_lines = None, full, 1
    # Higher headings leave less height, and smaller pictures may need higher headings.
    for _ in range(_ROUNDS):
        heads = _heads(drawing, columns, picture)
        room = _room(drawing, columns, heads.height(drawing.style), label_lines)
        plan = plan_grid(room, blocks)
        before, picture = picture, _picture_width(plan, columns, full)
        wanted = _label_lines(drawing, plan)
        if picture > before - 0.5 and wanted <= label_lines:
            break
        label_lines = max(label_lines, wanted)
    assert plan is not None
    comfortable = (
        heads.whole
        and (full >= MIN_PICTURE or not any(column.fixed is None for column in columns))
        and (drawing.legend is None or drawing.legend.whole)
        and _words_whole(drawing, columns)
    )
    return _Arranged(plan, heads, comfortable)


def _words_whole(drawing: _Drawing, columns: tuple[ColumnRoom, ...]) -> bool:
    """Whether no class's name is cut."""
    return all(
        drawing.style.fits(place.text, column.fixed or 0.0, lines=MOST_LINES)
        for row in drawing.grid.rows
        for place, column in zip(row, columns, strict=True)
        if isinstance(place, Words)
    )


def _picture_width(plan: GridPlan, columns: tuple[ColumnRoom, ...], full: float) -> float:
    """What is left of pictures on a page that is too short for their full width."""
    widths = [
        rect.width for rect, column in zip(plan.cells[0], columns, strict=True) if not column.fixed
    ]
    return min(widths, default=full)


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


def _heads(drawing: _Drawing, columns: tuple[ColumnRoom, ...], picture: float) -> Heads:
    """The headings, broken for columns whose pictures are so wide."""
    texts = [_head(drawing, index) for index in range(len(columns))]
    widths = [(picture if column.fixed is None else column.fixed) + 1 for column in columns]
    return break_heads(drawing.style, texts, widths)


def _line(drawing: _Drawing) -> float:
    return line_height(drawing.style.size)


def _label_lines(drawing: _Drawing, plan: GridPlan) -> int:
    """How many lines hold the rows' labels, which stand upright: 1, 2 or, if need be, 3."""
    labels = [(_label(drawing, row), rect.height) for row, rect in enumerate(plan.labels)]
    for lines in range(1, LABEL_LINES):
        if all(drawing.style.fits(label, height, lines=lines) for label, height in labels):
            return lines
    return LABEL_LINES


def _label(drawing: _Drawing, row: int) -> str:
    label = drawing.grid.labels[row]
    if drawing.spec.letters == "rows":
        return f"{letter(row)}{NO_BREAK}{label}" if label else letter(row)
    return label


def _room(
    drawing: _Drawing,
    columns: tuple[ColumnRoom, ...],
    heads: float,
    label_lines: int = 1,
) -> GridRoom:
    style, grid = drawing.style, drawing.grid
    regions = [
        region_of(row[0], drawing.spec.row(index), drawing.spec)
        for index, row in enumerate(drawing.study.analyses)
    ]
    kinds = [_kind(drawing, index) for index in range(len(columns))]
    has_bars = Bars in kinds
    return GridRoom(
        width=style.width,
        max_height=style.max_height - (drawing.legend.height if drawing.legend else 0.0),
        columns=columns,
        aspects=tuple(aspect_of(region) for region in regions),
        head_height=heads + _HEAD_GAP if heads else 0.0,
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


def _draw_heads(sheet: Sheet, plan: GridPlan, heads: Heads) -> None:
    for block, rects in enumerate(plan.heads):
        for index, (rect, lines) in enumerate(zip(rects, heads.lines, strict=True)):
            room = Rect(rect.x, rect.y, rect.width, rect.height - _HEAD_GAP)
            draw_head(sheet, room, lines, f"head {index + 1} of block {block + 1}")


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
                shown = ordered(place.weights, drawing.spec.order)[None]
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
