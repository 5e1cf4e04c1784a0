"""A comparison on paper: for each layer a row of maps, and below it what they differ by.

Maps are on one scale, 0 to 1 (wider where a gate's values lie beyond); differences on another, of
the same extent to both sides of 0. Each picture shows the whole photo, and what was not seen is
hatched in it: the sides may have seen different parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.comparison import Comparison, difference_on
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.called import called
from cbam_viz.figures.draw.pictures import draw_image
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.settings import pinned_settings
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import tick_text
from cbam_viz.render import (
    Placed,
    Scale,
    fit_size,
    gate_scale,
    lookup_table,
    overlay,
    place,
    resize_photo,
)

Pixels = npt.NDArray[np.uint8]

_GAP = 5.0
_SIDE = 640
"""Longer side of a picture, in pixels."""
_BAR, _LONGEST = 5.0, 110.0
_LINES, _HEAD_LINES = 3, 4
DIVERGING = "diverging"


@dataclass(frozen=True)
class _Cell:
    """What stands in one place: a picture or a sentence, and the words below it."""

    pixels: Pixels | None
    text: str


def compared(
    found: Comparison, layers: Sequence[str] = (), *, spec: FigureSpec | None = None
) -> PaperFigure:
    """Draw layers of `cbam_viz.compare`, by the reference's names; all of them by default.

    Of `spec`, venue, width, font, colour map and opacity are heeded. Write it with `figures.save`.

    Raises:
        FigureError: the font or the width cannot be used.
        MetricError: the reference has no such layer.
    """
    spec = spec or FigureSpec()
    style = style_of(spec)
    names = list(layers or found.layers)
    scale = gate_scale(
        mapped.values
        for name in names
        for number, side in enumerate(found.sides)
        if (layer := found.layer(number, name)) is not None
        if (mapped := side.mapped(layer)) is not None
    )
    rows = [row for name in names for row in _rows(found, name, scale, spec)]
    differences = any(found.maps(other, name) for name in names for other in found.others)
    count = len(found.sides)
    width = (style.width - _GAP * (count - 1)) / count
    names_apart = called([side.title for side in found.sides])
    heads = [style.wrap(one, width, lines=_HEAD_LINES) for one in names_apart.own]
    shared = style.wrap(names_apart.shared, style.width) if names_apart.shared else []
    texts = [[style.wrap(one.text, width, size=style.small, lines=_LINES) for one in row]
             for row in rows]  # fmt: skip
    heights = [max(_height(one, width) for one in row) for row in rows]
    above = line_height(style.size) * len(shared)
    top = above + line_height(style.size) * max(map(len, heads)) + 2
    below = [line_height(style.small) * max(map(len, row)) + _GAP for row in texts]
    foot = line_height(style.small) * 2 + _BAR + 4
    with pinned_settings():
        sheet = style.sheet(top + sum(heights) + sum(below) + foot)
        sheet.lines(Rect(0, 0, style.width, above), shared, gid="head of all")
        for number, lines in enumerate(heads):
            place_ = Rect(number * (width + _GAP), above, width, top - 2 - above)
            sheet.lines(place_, lines, va="bottom", gid=f"head {number + 1}")
        y = top
        for number, row in enumerate(rows):
            for at, (cell, lines) in enumerate(zip(row, texts[number], strict=True)):
                rect = Rect(at * (width + _GAP), y, width, heights[number])
                _draw(sheet, rect, cell, lines, f"row {number + 1} column {at + 1}")
            y += heights[number] + below[number]
        _bars(sheet, style, scale, spec.colormap, differences=differences)
    return sheet.figure


def _rows(found: Comparison, name: str, scale: Scale, spec: FigureSpec) -> list[list[_Cell]]:
    """Maps of one layer, and differences where there are any."""
    numbers = range(len(found.sides))
    rows = [[_map(found, number, name, scale, spec) for number in numbers]]
    if any(found.maps(number, name) for number in found.others):
        rows.append([_difference(found, number, name, scale, spec) for number in numbers])
    return rows


def _map(found: Comparison, number: int, name: str, scale: Scale, spec: FigureSpec) -> _Cell:
    side, layer = found.sides[number], found.layer(number, name)
    photo = side.analysis.photo
    size = fit_size(photo.size, _SIDE)
    pixels = resize_photo(photo.shown, size)
    mapped = None if layer is None else side.mapped(layer)
    if layer is None or mapped is None:
        why = "no attention" if not side.layers else "no such gate" if layer is None else ""
        return _Cell(pixels, why or f"{layer.name if layer else ''}: no spatial map")
    placed = place(mapped.values, mapped.cells, mapped.geometry, size)
    painted = overlay(pixels, placed, scale=scale, colormap=spec.colormap, opacity=spec.opacity)
    return _Cell(painted, layer.name)


def _difference(found: Comparison, number: int, name: str, scale: Scale, spec: FigureSpec) -> _Cell:
    if number == found.reference:
        return _Cell(None, "")
    maps = found.maps(number, name)
    if maps is None:
        return _Cell(None, found.no_difference(number, name))
    photo = found.sides[number].analysis.photo
    size = fit_size(photo.size, _SIDE)
    grey = np.rint(resize_photo(photo.shown, size).mean(axis=2, keepdims=True)).astype(np.uint8)
    pixels: Pixels = np.repeat(grey, 3, axis=2)
    placed = difference_on(*maps, size)
    extent = scale.high - scale.low
    painted = overlay(
        pixels,
        Placed(placed.values, placed.seen),
        scale=Scale("shared", -extent, extent),
        colormap=DIVERGING,
        opacity=max(spec.opacity, 0.75),
    )
    one = found.compared(number, name)
    assert one is not None
    if one.difference is None:
        return _Cell(painted, one.no_difference)
    mean, most = one.difference.mean, one.difference.largest
    return _Cell(painted, f"difference: mean {_signed(mean)}, at most {_signed(most)}")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _height(cell: _Cell, width: float) -> float:
    return 0.0 if cell.pixels is None else width * cell.pixels.shape[0] / cell.pixels.shape[1]


def _draw(sheet: Sheet, rect: Rect, cell: _Cell, lines: list[str], gid: str) -> None:
    if cell.pixels is None:
        sheet.lines(rect, lines, size=sheet.small, va="top", gid=gid)
        return
    inside = Rect(rect.x, rect.y, rect.width, _height(cell, rect.width))
    draw_image(sheet, inside, cell.pixels, gid)
    below = Rect(rect.x, inside.bottom + 1, rect.width, line_height(sheet.small) * len(lines))
    sheet.lines(below, lines, size=sheet.small, va="top", gid=f"{gid} words")


def _bars(sheet: Sheet, style: Style, scale: Scale, colormap: str, *, differences: bool) -> None:
    """The colour bars at the foot: of the maps, and of differences where there are any."""
    extent = scale.high - scale.low
    width = min(_LONGEST, 0.42 * style.width)
    y = sheet.height - line_height(sheet.small) - _BAR - 1
    bars = [("spatial map", scale, colormap, 0.25 if differences else 0.5)]
    if differences:
        bars.append(("difference", Scale("shared", -extent, extent), DIVERGING, 0.75))
    for title, one, name, middle in bars:
        rect = Rect(middle * style.width - width / 2, y, width, _BAR)
        draw_image(sheet, rect, lookup_table(name)[None], f"legend {title}")
        sheet.text(middle * style.width, y - 2, title, size=sheet.small)
        span = one.high - one.low
        for share, ha in ((0.0, "left"), (0.5, "center"), (1.0, "right")):
            text = tick_text(one.low + share * span, span)
            sheet.text(rect.x + share * width, rect.bottom + sheet.small, text,
                       size=sheet.small, ha=ha)  # fmt: skip
