"""Photos as rows, what is shown of them as columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.called import Over
from cbam_viz.figures.content.grid import Grid
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head, draw_over, with_over
from cbam_viz.figures.draw.legend import draw_legend
from cbam_viz.figures.draw.notes import draw_note, notes_height
from cbam_viz.figures.draw.pictures import Rasters, aspect_of, region_of
from cbam_viz.figures.draw.places import drawing_of
from cbam_viz.figures.draw.places.drawing import Drawing, Spot
from cbam_viz.figures.draw.plan import (
    GAP,
    MIN_PICTURE,
    ColumnRoom,
    GridPlan,
    GridRoom,
    check_size,
    choose_blocks,
    plan_grid,
)
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import NO_BREAK, letter

LABEL_LINES = 5
"""Of a row's label, at most."""
_TALLEST_LABEL, _LABELS = 9.0, 0.5
"""Type sizes, and share of the page for all rows: a row gets no higher for its label's sake."""
_HEAD_GAP = 2.0
_ROUNDS = 6
"""In which headings and pictures come to fit each other on a short page."""


def draw(spec: FigureSpec, study: Study, content: Grid) -> PaperFigure:
    """Draw rows of photos."""
    return draw_grid(spec, study, content, what="Spatial attention")


def draw_grid(spec: FigureSpec, study: Study, grid: Grid, *, what: str) -> PaperFigure:
    """Draw the places of a grid; `what` names the values at the colour bar."""
    usual = style_of(spec)
    drawing = Drawing(spec, study, grid, usual, what, Rasters(spec.image_dpi))
    arranged = _arrange(drawing)
    if not arranged.comfortable:
        drawing = replace(drawing, style=usual.smaller)
        arranged = _arrange(drawing)
    plan, legend = arranged.plan, drawing.legend
    sheet = drawing.style.sheet(plan.height + (legend.height if legend else 0.0))
    _draw_heads(sheet, plan, arranged.heads)
    _draw_labels(sheet, drawing, plan)
    _draw_cells(sheet, drawing, plan, arranged.below)
    if legend:
        draw_legend(sheet, legend)
    return sheet.figure


@dataclass(frozen=True)
class _Arranged:
    """Where everything goes, and how the headings break."""

    plan: GridPlan
    heads: Heads
    below: tuple[float, ...]
    """What of each row's height stands below its pictures."""
    comfortable: bool
    """Whether the usual type will do."""


def _arrange(drawing: Drawing) -> _Arranged:
    columns = _column_rooms(drawing, drawing.style.width)
    guess = _room(drawing, columns, _line(drawing), below=_below(drawing, MIN_PICTURE))
    blocks = drawing.spec.blocks or choose_blocks(guess)
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
        below = _below(drawing, picture)
        room = _room(drawing, columns, heads.height(drawing.style), label_lines, below)
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
    return _Arranged(plan, heads, below, comfortable)


def _below(drawing: Drawing, width: float) -> tuple[float, ...]:
    """What each row needs below pictures that are so wide."""
    return tuple(notes_height(drawing.style, notes, width) for notes in drawing.grid.notes)


def _words_whole(drawing: Drawing, columns: tuple[ColumnRoom, ...]) -> bool:
    """Whether no text is cut."""
    return all(
        drawing_of(place).whole(drawing, place, column)
        for row in drawing.grid.rows
        for place, column in zip(row, columns, strict=True)
    )


def _picture_width(plan: GridPlan, columns: tuple[ColumnRoom, ...], full: float) -> float:
    """What is left of pictures on a page that is too short for their full width."""
    widths = [
        rect.width for rect, column in zip(plan.cells[0], columns, strict=True) if not column.fixed
    ]
    return min(widths, default=full)


def _column_rooms(drawing: Drawing, width: float) -> tuple[ColumnRoom, ...]:
    """Words get what they need of a block's width; pictures share the rest."""
    first = drawing.grid.rows[0]
    return tuple(drawing_of(place).room(drawing, n, width) for n, place in enumerate(first))


def _heads(drawing: Drawing, columns: tuple[ColumnRoom, ...], picture: float) -> Heads:
    """The headings, broken for columns whose pictures are so wide."""
    texts = [drawing.head(index) for index in range(len(columns))]
    widths = [picture if column.fixed is None else column.fixed for column in columns]
    heads = break_heads(drawing.style, texts, [width + 1 for width in widths])

    def width_of(one: Over) -> float:
        between = sum(columns[n].margin + GAP for n in range(one.first + 1, one.last + 1))
        return sum(widths[one.first : one.last + 1]) + between + 1

    over = drawing.grid.over if drawing.spec.heads else ()
    return with_over(drawing.style, heads, over, width_of)


def _line(drawing: Drawing) -> float:
    return line_height(drawing.style.size)


def _label_lines(drawing: Drawing, plan: GridPlan) -> int:
    """How many lines hold the rows' labels, which stand upright: as few as can be."""
    labels = [(_label(drawing, row), rect.height) for row, rect in enumerate(plan.labels)]
    for lines in range(1, LABEL_LINES):
        if all(drawing.style.fits(label, height, lines=lines) for label, height in labels):
            return lines
    return LABEL_LINES


def _label(drawing: Drawing, row: int) -> str:
    label = drawing.grid.labels[row]
    if drawing.spec.letters == "rows":
        return f"{letter(row)}{NO_BREAK}{label}" if label else letter(row)
    return label


def _room(
    drawing: Drawing,
    columns: tuple[ColumnRoom, ...],
    heads: float,
    label_lines: int = 1,
    below: tuple[float, ...] = (),
) -> GridRoom:
    style, grid = drawing.style, drawing.grid
    regions = [
        region_of(row[0], drawing.spec.row(index), drawing.spec)
        for index, row in enumerate(drawing.study.analyses)
    ]
    kinds = [drawing_of(place) for place in grid.rows[0]]
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
                *(
                    drawing_of(place).text_height(drawing, place, column)
                    for place, column in zip(row, columns, strict=True)
                ),
                _label_height(style, _label(drawing, index), len(grid.rows)),
                *(kind.least_height for kind in kinds),
            )
            for index, row in enumerate(grid.rows)
        ),
        below=below,
        foot_height=max(kind.foot(drawing) for kind in kinds),
    )


def _label_height(style: Style, label: str, rows: int) -> float:
    """What a row's label needs, within limits: it stands upright, in some lines."""
    if not label:
        return 0.0
    most = min(_TALLEST_LABEL * style.size, _LABELS * style.max_height / rows)
    longest = max(style.measure(word) for word in label.split(" ")) + 1
    height = min(longest, most)
    while height < most and not style.fits(label, height, lines=LABEL_LINES):
        height = min(1.2 * height, most)
    return height


def _draw_heads(sheet: Sheet, plan: GridPlan, heads: Heads) -> None:
    for block, rects in enumerate(plan.heads):
        draw_over(sheet, heads, rects, f"head of block {block + 1}")
        for index, (rect, lines) in enumerate(zip(rects, heads.lines, strict=True)):
            room = Rect(rect.x, rect.y, rect.width, rect.height - _HEAD_GAP)
            draw_head(sheet, room, lines, f"head {index + 1} of block {block + 1}")


def _draw_labels(sheet: Sheet, drawing: Drawing, plan: GridPlan) -> None:
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


def _draw_cells(sheet: Sheet, drawing: Drawing, plan: GridPlan, below: tuple[float, ...]) -> None:
    last_rows = {*(first - 1 for first in plan.first_rows), len(plan.cells) - 1}
    number = 0
    for r, (row, rects) in enumerate(zip(drawing.grid.rows, plan.cells, strict=True)):
        for c, (place, rect) in enumerate(zip(row, rects, strict=True)):
            kind = drawing_of(place)
            foot = below[r] if below else 0.0
            room = Rect(rect.x, rect.y, rect.width, rect.height - foot)
            spot = Spot(room, f"row {r + 1} column {c + 1}", r, number, r in last_rows)
            kind.draw(sheet, drawing, place, spot)
            if foot:
                under = Rect(rect.x, room.bottom, rect.width, foot)
                draw_note(sheet, drawing.style, drawing.grid.notes[r][c], under, spot.gid)
            number += kind.is_picture
