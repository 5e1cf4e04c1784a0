"""The walk through a layer on paper: a card for each step, with its equation, numbers and pictures.

A sheet to read beside the tutorial, not a figure for a column: it becomes as high as its steps ask
for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.ablation import GATES
from cbam_viz.analysis import Analysis
from cbam_viz.computation import GateKind
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.draw.pictures import OwnPixels
from cbam_viz.figures.draw.plan import split_rows
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.settings import pinned_settings
from cbam_viz.figures.paper.sheet import INK, PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import tick_text
from cbam_viz.images import Geometry, Photo
from cbam_viz.render import (
    Scale,
    colorize,
    fit_size,
    frame_cell,
    grid,
    lookup_table,
    place,
    resize_photo,
)
from cbam_viz.steps import COUNTING, Picture, Step, Walk

Pixels = npt.NDArray[np.uint8]

_CARD = 200.0
"""Width in points that a card has at least."""
_GAP_X, _GAP_Y = 14.0, 9.0
_PICTURE_GAP = 5.0
_WIDEST = 72.0
"""Of a map, in points."""
_TALLEST = 1.4
"""A map is at most so many times as high as it is wide."""
_CHART = 34.0
"""Height of a chart of values."""
_BAR = 3.0
"""Height of a colour bar."""
_SIDE = 480
"""Longer side of a picture, in pixels."""
_LINES = 9
"""A text has at most so many lines; none has nearly as many."""
_BLUE, _MARK, _SOFT = "#2277cc", "#d9480f", "0.35"


@dataclass(frozen=True)
class _Row:
    """Pictures beside each other, as wide and high, and what stands below each of them."""

    pictures: tuple[Picture, ...]
    captions: tuple[list[str], ...]
    width: float
    height: float

    @property
    def charts(self) -> bool:
        """True if they are vectors, which have no colours and so no colour bar."""
        return self.pictures[0].kind in ("channels", "units")

    def foot(self, small: float) -> float:
        """Room for a colour bar with its ends, and for the captions."""
        lines = max(map(len, self.captions)) + (0 if self.charts else 1)
        return line_height(small) * lines + (1 if self.charts else _BAR + 2)


@dataclass(frozen=True)
class _Card:
    """A step, set in lines of its width."""

    number: int
    step: Step
    head: list[str]
    lines: list[str]
    rows: tuple[_Row, ...]
    height: float


def steps(
    walk: Walk,
    analysis: Analysis,
    *,
    outcomes: Mapping[GateKind, Analysis] | None = None,
    spec: FigureSpec | None = None,
) -> PaperFigure:
    """Draw a walk of `cbam_viz.steps.walk`; at its end what `analyse_with` predicts without gates.

    Of `spec`, venue, width, font and colour map are heeded. Write it with `figures.save`.

    Raises:
        FigureError: the font or the width cannot be used.
    """
    spec = spec or FigureSpec()
    style = style_of(spec)
    columns = max(1, int((style.width + _GAP_X) // (_CARD + _GAP_X)))
    width = (style.width - _GAP_X * (columns - 1)) / columns
    aspect = _aspect(analysis.geometry, walk)
    cards = [_card(style, number, step, width, aspect) for number, step in enumerate(walk.steps, 1)]
    runs = split_rows([card.height + _GAP_Y for card in cards], columns)
    above = _intro(style, walk, analysis)
    below = _ending(style, analysis, outcomes or {})
    top = line_height(style.small) * len(above) + _GAP_Y
    tallest = max(sum(cards[k].height + _GAP_Y for k in run) for run in runs)
    height = top + tallest + line_height(style.small) * len(below) + 2
    with pinned_settings():
        sheet = style.sheet(height)
        page = _Page(sheet, walk, analysis, spec.colormap)
        _text(sheet, 0, 0, above)
        for column, run in enumerate(runs):
            x, y = column * (width + _GAP_X), top
            for index in run:
                _draw(page, Rect(x, y, width, cards[index].height), cards[index])
                y += cards[index].height + _GAP_Y
        _text(sheet, 0, top + tallest, below)
    return sheet.figure


def _intro(style: Style, walk: Walk, analysis: Analysis) -> list[str]:
    return _set(
        style,
        f"{walk.layer.name} in {analysis.model_name}, on {analysis.photo.name}.",
        f"The numbers follow channel {walk.channel}: {walk.channel_reason}.",
        f"And {walk.where}: {walk.cell_reason}. {COUNTING}",
    )


def _set(style: Style, *sentences: str, width: float | None = None) -> list[str]:
    """Sentences in small type, each on lines of its own."""
    return [
        line
        for sentence in sentences
        if sentence
        for line in style.wrap(sentence, width or style.width, size=style.small, lines=_LINES)
    ]


def _ending(style: Style, analysis: Analysis, outcomes: Mapping[GateKind, Analysis]) -> list[str]:
    """The prediction, and what it is without gates."""
    if not outcomes:
        return []
    told = [f"Prediction: {_best(analysis)}."]
    told += [f"Without {GATES[gate]}: {_best(without)}." for gate, without in outcomes.items()]
    return _set(style, *told)


def _best(said: Analysis) -> str:
    if said.detections is not None and not said.predictions:
        return said.detections.told
    if not said.predictions:
        return said.prediction_note.rstrip(".") or "none"
    return ", ".join(f"{one.label} {100 * one.probability:.1f} %" for one in said.predictions[:2])


def _card(style: Style, number: int, step: Step, width: float, aspect: float) -> _Card:
    head = style.wrap(f"{number}. {step.title}", width, lines=_LINES)
    told = [step.formula, step.sizes and f"Size: {step.sizes}", *step.arithmetic]
    lines = _set(style, *told, step.note, step.reason, width=width)
    rows = tuple(_rows(style, step, width, aspect))
    height = line_height(style.size) * len(head) + line_height(style.small) * len(lines) + 3
    height += sum(row.height + row.foot(style.small) + _PICTURE_GAP for row in rows)
    return _Card(number, step, head, lines, rows, height)


def _rows(style: Style, step: Step, width: float, aspect: float) -> list[_Row]:
    """Vectors two beside each other, maps three; the photo stands beside the input features."""
    maps = [one for one in step.pictures if one.kind in ("map", "filter")]
    vectors = [one for one in step.pictures if one.kind in ("channels", "units")]
    rows = []
    for start in range(0, len(vectors), 2):
        some = tuple(vectors[start : start + 2])
        each = (width - _PICTURE_GAP * (len(some) - 1)) / len(some)
        rows.append(_Row(some, _captions(style, some, each), each, _CHART))
    photo = 1 if step.key == "features" else 0
    beside = 3 - photo
    for start in range(0, len(maps), beside):
        some = tuple(maps[start : start + beside])
        places = len(some) + photo
        each = min(_WIDEST, (width - _PICTURE_GAP * (places - 1)) / places)
        high = min(aspect, _TALLEST)
        if any(one.kind == "filter" for one in some):
            high = max(high, 1.0)
        rows.append(_Row(some, _captions(style, some, each), each, each * high))
    return rows


def _captions(style: Style, pictures: Sequence[Picture], width: float) -> tuple[list[str], ...]:
    """Titles, of charts with their range, in lines as wide as the pictures."""
    return tuple(
        style.wrap(_caption_of(one), width, size=style.small, lines=_LINES) for one in pictures
    )


def _caption_of(picture: Picture) -> str:
    if picture.kind not in ("channels", "units"):
        return picture.title
    span = max(0.0, picture.high) - min(0.0, picture.low)
    return f"{picture.title}: {tick_text(picture.low, span)} to {tick_text(picture.high, span)}"


@dataclass(frozen=True)
class _Page:
    """What all cards are drawn on and from."""

    sheet: Sheet
    walk: Walk
    analysis: Analysis
    colormap: str


def _draw(page: _Page, rect: Rect, card: _Card) -> None:
    sheet = page.sheet
    y = rect.y
    for line in card.head:
        y += line_height(sheet.size)
        sheet.text(rect.x, y - 0.24 * sheet.size, line, ha="left", bold=True)
    _text(sheet, rect.x, y, card.lines)
    y += line_height(sheet.small) * len(card.lines) + 3
    for row in card.rows:
        x = rect.x
        if card.step.key == "features":
            _photo(page, Rect(x, y, row.width, row.height))
            x += row.width + _PICTURE_GAP
        for picture, caption in zip(row.pictures, row.captions, strict=True):
            rect_ = Rect(x, y, row.width, row.height)
            gid = f"step {card.number} {picture.title}"
            (_chart if row.charts else _map)(page, rect_, picture, gid)
            _text(sheet, x, y + row.height + _under(row, sheet.small), caption, color=_SOFT)
            x += row.width + _PICTURE_GAP
        y += row.height + row.foot(sheet.small) + _PICTURE_GAP


def _under(row: _Row, small: float) -> float:
    """How far below pictures their captions begin."""
    return 1 if row.charts else _BAR + 2 + line_height(small)


def _text(sheet: Sheet, x: float, y: float, lines: Sequence[str], color: str = INK) -> None:
    step = line_height(sheet.small)
    for number, line in enumerate(lines, 1):
        baseline = y + step * number - 0.24 * sheet.small
        sheet.text(x, baseline, line, size=sheet.small, ha="left", color=color)


def _aspect(geometry: Geometry, walk: Walk) -> float:
    """Height over width of what the maps are drawn on."""
    if walk.layer.cells is None:
        rows, columns = walk.computation.gates[0].features.shape[2:]
        return float(rows / columns)
    top, left, bottom, right = geometry.seen
    return (bottom - top) / (right - left)


def _photo(page: _Page, rect: Rect) -> None:
    sheet, walk, analysis = page.sheet, page.walk, page.analysis
    size = fit_size(analysis.photo.size, _SIDE)
    pixels = _with_cell(analysis.photo, analysis.geometry, walk, size)
    _picture(sheet, rect, _seen(pixels, analysis.geometry), "photo")
    _text(sheet, rect.x, rect.bottom + 2, ["Photo"], color=_SOFT)


def _with_cell(photo: Photo, geometry: Geometry, walk: Walk, size: tuple[int, int]) -> Pixels:
    pixels = resize_photo(photo.shown, size)
    if walk.layer.cells is None:
        return pixels
    rows, columns = walk.computation.gates[0].features.shape[2:]
    return frame_cell(pixels, (rows, columns), walk.cell, walk.layer.cells, geometry)


def _seen(pixels: Pixels, geometry: Geometry) -> Pixels:
    """The part of a picture of the whole photo that the network saw."""
    top, left, bottom, right = geometry.seen
    down = pixels.shape[0] / geometry.photo_size[0]
    across = pixels.shape[1] / geometry.photo_size[1]
    return pixels[
        round(top * down) : max(round(bottom * down), round(top * down) + 1),
        round(left * across) : max(round(right * across), round(left * across) + 1),
    ]


def _map(page: _Page, rect: Rect, picture: Picture, gid: str) -> None:
    sheet, walk = page.sheet, page.walk
    colormap = "diverging" if picture.diverging else page.colormap
    scale = Scale("per map", picture.low, picture.high)
    shape = (picture.values.shape[0], picture.values.shape[1])
    marked = picture.marked if isinstance(picture.marked, tuple) else None
    cells, geometry = walk.layer.cells, walk.geometry
    if cells is None or geometry is None or picture.kind == "filter":
        pixels = grid(picture.values, scale=scale, colormap=colormap, longest=_SIDE, marked=marked)
    else:
        size = fit_size(geometry.photo_size, _SIDE)
        placed = place(picture.values, cells, geometry, size, method="nearest")
        pixels = colorize(placed.values, scale, colormap)
        if marked is not None:
            pixels = frame_cell(pixels, shape, marked, cells, geometry)
        pixels = _seen(pixels, geometry)
    _picture(sheet, rect, pixels, gid)
    _bar(sheet, Rect(rect.x, rect.bottom + 2, rect.width, _BAR), colormap, picture, gid)


def _picture(sheet: Sheet, rect: Rect, pixels: Pixels, gid: str) -> None:
    """Pixels as large as the rectangle allows."""
    inside = rect.fitted(pixels.shape[0] / pixels.shape[1])
    _image(sheet, inside, pixels, gid)


def _image(sheet: Sheet, rect: Rect, pixels: Pixels, gid: str) -> None:
    axes = sheet.axes(rect, f"{gid} axes")
    image = OwnPixels(axes, extent=(0, 1, 0, 1), origin="upper", interpolation_stage="rgba")
    image.set_data(pixels)
    image.set_gid(gid)
    axes.add_image(image)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _bar(sheet: Sheet, rect: Rect, colormap: str, picture: Picture, gid: str) -> None:
    _image(sheet, rect, lookup_table(colormap)[None], f"{gid} bar")
    span = picture.high - picture.low
    y = rect.bottom + 0.95 * sheet.small
    for x, ha, value in ((rect.x, "left", picture.low), (rect.right, "right", picture.high)):
        sheet.text(x, y, tick_text(value, span), size=sheet.small, ha=ha)


def _chart(page: _Page, rect: Rect, picture: Picture, gid: str) -> None:
    """Values by their number, from 0; the followed one marked."""
    values = np.nan_to_num(picture.values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = min(0.0, picture.low), max(0.0, picture.high)
    if low == high:
        high = low + 1
    sheet = page.sheet
    axes = sheet.axes(rect, f"{gid} axes")
    bars = axes.stairs(values, baseline=0.0, fill=True, color=_BLUE, linewidth=0)
    bars.set_gid(gid)
    axes.set_xlim(0, values.size)
    axes.set_ylim(low, high)
    if isinstance(picture.marked, int):
        axes.axvline(picture.marked + 0.5, color=_MARK, linewidth=0.8)
    zero = rect.y + rect.height * high / (high - low)
    sheet.rule(rect.x, zero, rect.right, zero)
