"""What the variance of each gate is made of: a bar of three parts for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.patches import Rectangle

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.stores.variance import PARTS, GateShares, Variance
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.plan import LEAST_PICTURE, check_size
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height

COLOURS = ("#d9d9d9", "#56b4e9", "#0b3c6f")
"""Light for what is the same for all photos, dark for single photos: told apart in grey too."""
_NAMES = 0.42
_LINES = 3
"""Of a gate's name."""
_ROW, _BAR = 0.35, 0.72
"""A row's height in lines of type beyond those of its name, and the bar's share of it."""
_GAP = 4.0
_AXIS = "share of the gate's variance"
_LEGEND_ABOVE, _SAMPLE = 5.0, 7.0


def draw(spec: FigureSpec, study: Study, content: Variance) -> PaperFigure:
    """A bar for each gate, from 0 to 100 %, and what its parts are at the foot."""
    style = style_of(spec)
    rows = len(content.gates)
    names = [_name(one) for one in content.gates]
    if _height(style, content, _row(style, names)) > style.max_height:
        style = style.smaller
    around = _height(style, content, 0.0)
    row = min(_row(style, names), (style.max_height - around) / rows)
    most = max(1, int(row // line_height(style.size)))
    left = _left(style, names)
    width = style.width - left - 0.6 * style.measure("100 %", style.small)
    page = style.width, style.max_height
    check_size(width, row * LEAST_PICTURE / style.small, rows, page, "gates")
    sheet = style.sheet(around + row * rows)
    for number, (one, name) in enumerate(zip(content.gates, names, strict=True)):
        room = Rect(0, number * row, left - _GAP, row)
        text = style.wrap(name, room.width, lines=most)
        sheet.lines(room, text, ha="right", gid=f"gate {number + 1} name")
        bar = Rect(left, number * row + row * (1 - _BAR) / 2, width, row * _BAR)
        _draw_bar(sheet, bar, one, f"gate {number + 1}")
    _draw_axis(sheet, Rect(left, 0, width, row * rows))
    _draw_legend(sheet, content)
    return sheet.figure


def _left(style: Style, names: Sequence[str]) -> float:
    """Room for names."""
    return min(max(style.measure(name) for name in names) + _GAP, _NAMES * style.width)


def _row(style: Style, names: Sequence[str]) -> float:
    """A row's height: as many lines as hold each name whole, up to `_LINES`."""
    width = _left(style, names) - _GAP
    lines = next(
        (n for n in range(1, _LINES) if all(style.fits(name, width, lines=n) for name in names)),
        _LINES,
    )
    return (lines + _ROW) * line_height(style.size)


def _name(one: GateShares) -> str:
    return f"{one.head}, {PARTS[one.part]}"


def _titles(content: Variance) -> tuple[str, ...]:
    if content.classes > 1:
        return ("same for all photos", "between classes", "between photos of a class")
    return ("same for all photos", "between photos")


def _colours(content: Variance) -> tuple[str, ...]:
    return COLOURS if content.classes > 1 else (COLOURS[0], COLOURS[2])


def _height(style: Style, content: Variance, row: float) -> float:
    lines = _legend_lines(style, content)
    foot = (
        style.small
        + line_height(style.small)
        + 4.5
        + _LEGEND_ABOVE
        + len(lines) * line_height(style.size)
    )
    return row * len(content.gates) + foot


def _draw_bar(sheet: Sheet, rect: Rect, one: GateShares, gid: str) -> None:
    axes = sheet.axes(rect, f"{gid} axes")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    if math.isnan(one.shares[0]):
        text = "one number for all"
        baseline = rect.y + rect.height / 2 + 0.33 * sheet.small
        sheet.text(rect.x + 2, baseline, text, size=sheet.small, ha="left", gid=f"{gid} note")
        return
    start = 0.0
    for share, colour in zip(one.shares, COLOURS, strict=True):
        part = Rectangle((start, 0), share, 1, facecolor=colour, edgecolor="none", linewidth=0)
        part.set_gid(f"{gid} part {colour}")
        axes.add_patch(part)
        start += share


def _draw_axis(sheet: Sheet, rect: Rect) -> None:
    sheet.rule(rect.x, rect.bottom, rect.right, rect.bottom)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = rect.x + share * rect.width
        sheet.rule(x, rect.bottom, x, rect.bottom + 1.5)
        text = f"{share:.0%}".replace("%", " %")
        sheet.text(x, rect.bottom + 2.2 + 0.8 * sheet.small, text, size=sheet.small)
    below = rect.bottom + 2.2 + 0.8 * sheet.small + line_height(sheet.small)
    half = sheet.measure(_AXIS, sheet.small) / 2
    x = min(rect.x + rect.width / 2, sheet.width - half)
    sheet.text(x, below, _AXIS, size=sheet.small, gid="axis")


def _legend_lines(style: Style, content: Variance) -> list[list[int]]:
    """Which titles stand on which line."""
    lines: list[list[int]] = [[]]
    x = 0.0
    for number, title in enumerate(_titles(content)):
        width = _SAMPLE + 3 + style.measure(title) + 10
        if x and x + width - 10 > style.width:
            lines.append([])
            x = 0.0
        lines[-1].append(number)
        x += width
    return lines


def _draw_legend(sheet: Sheet, content: Variance) -> None:
    titles, colours = _titles(content), _colours(content)
    style = Style(sheet.width, sheet.height, sheet.font, sheet.size, sheet.small)
    lines, step = _legend_lines(style, content), line_height(sheet.size)
    top = sheet.height - step * len(lines)
    for line, numbers in enumerate(lines):
        widths = [_SAMPLE + 3 + sheet.measure(titles[number]) for number in numbers]
        x = (sheet.width - sum(widths) - 10 * (len(widths) - 1)) / 2
        for number, width in zip(numbers, widths, strict=True):
            baseline = top + step * (line + 1) - 0.24 * sheet.size
            box = Rect(x, baseline - 0.7 * sheet.size, _SAMPLE, 0.7 * sheet.size)
            axes = sheet.axes(box, f"legend {number + 1} axes")
            axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=colours[number], linewidth=0))
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            gid = f"legend {number + 1} name"
            sheet.text(x + _SAMPLE + 3, baseline, titles[number], ha="left", gid=gid)
            x += width + 10
