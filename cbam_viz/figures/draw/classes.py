"""Channel weights: a line of coloured cells for each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.classes import ByClass, names_with_photos
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.legend import Legend, draw_legend, legend_of
from cbam_viz.figures.draw.pictures import draw_matrix
from cbam_viz.figures.draw.plan import LEAST_PICTURE, check_size
from cbam_viz.figures.draw.trees import draw_tree, tree_room
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.render import colorize

_HEAD_GAP = 1.5
_CLASS_LINE = 11.0
"""Height in points of a class's line of cells; up to twice as high where there are few."""
_CLASSES_HEIGHT = 33.0
"""What few classes together fill."""
_LABEL_GAP = 4.0
_LABEL_SHAPES = ((0.3, 2), (0.3, 3), (0.4, 2), (0.4, 3), (0.4, 4), (0.5, 4), (0.5, 6))
"""Of names of classes: the share of the figure's width, and lines, in the order of preference."""
_LAYER_GAP = 5.0
"""Between the channels of a layer and the heading of the next."""


def draw(spec: FigureSpec, study: Study, content: ByClass) -> PaperFigure:
    """A line of coloured cells for each class, one cell a channel; layers below each other."""
    usual = style_of(spec)
    plan = _plan(spec, content, usual)
    if not plan.comfortable:
        plan = _plan(spec, content, usual.smaller)
    sheet = plan.style.sheet(plan.height)
    for index, (matrix, rect) in enumerate(zip(content.matrices, plan.rects, strict=True)):
        name = "weights" if index == 0 else f"weights {index + 1}"
        draw_matrix(sheet, rect, colorize(matrix.matrix, content.scale, spec.colormap), name)
        line = rect.height / len(matrix.classes)
        first = sum(len(one.classes) for one in content.matrices[:index]) + 1
        if matrix.tree is not None:
            draw_tree(sheet, matrix.tree, rect, plan.tree, f"{name} tree")
        for number, lines in enumerate(plan.labels[index]):
            y = rect.y + number * line
            place = Rect(0, y, rect.x - 3, line)
            sheet.lines(place, lines, ha="right", gid=f"class {first + number}")
            if number:
                sheet.rule(rect.x, y, rect.right, y, color="w")
        top = plan.heads.height(plan.style)
        room = Rect(rect.x, rect.y - _HEAD_GAP - top, rect.width, top)
        draw_head(sheet, room, plan.heads.lines[index], f"head {index + 1}")
        _draw_channel_axis(sheet, rect, matrix.channels, spec)
    draw_legend(sheet, plan.legend)
    return sheet.figure


def _foot(style: Style) -> float:
    return style.small + 3.5


@dataclass(frozen=True)
class _Plan:
    """Where the cells of all classes stand."""

    style: Style
    legend: Legend
    heads: Heads
    labels: list[list[list[str]]]
    """Of each layer and class, in lines."""
    tree: float
    """Room for the tree of classes at the right; 0 where there is none."""
    rects: tuple[Rect, ...]
    """Of each layer."""
    comfortable: bool
    """Whether the usual type will do."""

    @property
    def height(self) -> float:
        """Of the whole figure."""
        return self.rects[-1].bottom + _foot(self.style) + self.legend.height


def _plan(spec: FigureSpec, content: ByClass, style: Style) -> _Plan:
    count = len(content.matrices)
    by_layer = [names_with_photos(one.classes) for one in content.matrices]
    every = list(dict.fromkeys(name for names in by_layer for name in names))
    most = max(map(len, by_layer))  # a layer that did not run for a class has fewer
    what = "Difference of channel weight" if spec.relative else "Channel weight"
    legend = legend_of(style, what, content.scale, spec.colormap)
    tree = tree_room(style.width) if content.matrices[0].tree is not None else 0.0
    texts = [one.head for one in content.matrices]

    def around(left: float) -> tuple[Heads, float]:
        """The headings, and what a layer takes beside its lines of cells."""
        heads = break_heads(style, texts, [style.width - left] * count)
        return heads, heads.height(style) + _HEAD_GAP + _foot(style)

    def room(left: float) -> float:
        """For a line of cells at most."""
        page = (style.max_height - legend.height - _LAYER_GAP * (count - 1)) / count
        return (page - around(left)[1]) / most

    labels = _labels(style, every, room)
    left = labels.width + _LABEL_GAP
    heads, beside = around(left)
    alone = max(_CLASS_LINE, min(_CLASSES_HEIGHT / most, 2 * _CLASS_LINE))
    line = min(max(alone, labels.most * line_height(style.size) + 1), room(left))
    lines = [[labels.lines[name] for name in names] for names in by_layer]
    width = style.width - left - tree
    page = style.width, style.max_height
    check_size(width, line * LEAST_PICTURE / style.small, most, page, "classes")
    comfortable = heads.whole and legend.whole and line >= line_height(style.size) and labels.whole
    step = beside + line * most + _LAYER_GAP
    top = heads.height(style) + _HEAD_GAP
    rects = tuple(
        Rect(left, number * step + top, width, line * len(names))
        for number, names in enumerate(by_layer)
    )
    return _Plan(style, legend, heads, lines, tree, rects, comfortable)


@dataclass(frozen=True)
class _Labels:
    """Names of classes in lines."""

    width: float
    lines: dict[str, list[str]]
    whole: bool
    """Whether none is cut or broken inside a word."""

    @property
    def most(self) -> int:
        """Lines that one takes."""
        return max(map(len, self.lines.values()))


def _labels(style: Style, names: list[str], room: Callable[[float], float]) -> _Labels:
    """As narrow as leaves them whole; `room` is the height of a line of cells beside that width."""
    longest = max(style.measure(name) for name in names)
    for share, most in _LABEL_SHAPES:
        width = min(longest, share * style.width)
        lines = {name: style.wrap(name, width, lines=most) for name in names}
        found = _Labels(width, lines, all(style.fits(name, width, lines=most) for name in names))
        if found.whole and found.most * line_height(style.size) <= room(width + _LABEL_GAP):
            return found
    width = min(longest, _LABEL_SHAPES[-1][0] * style.width)
    most = max(1, int(room(width + _LABEL_GAP) // line_height(style.size)))
    lines = {name: style.wrap(name, width, lines=most) for name in names}
    return _Labels(width, lines, False)


def _draw_channel_axis(
    sheet: Sheet, rect: Rect, channels: npt.NDArray[np.intp], spec: FigureSpec
) -> None:
    y = rect.bottom + 1.2 + 0.8 * sheet.small
    middle = {
        "index": "channel",
        "weight": "channels, highest mean weight first",
        "cluster": "channels, as clustered",
    }[spec.order]
    ends = (f"{channels[0]}", f"{channels[-1]}") if spec.order == "index" else ("", "")
    if spec.order == "weight":
        ends = ("1", f"{len(channels)}")
    sheet.text(rect.x, y, ends[0], size=sheet.small, ha="left")
    sheet.text(rect.x + rect.width / 2, y, middle, size=sheet.small)
    sheet.text(rect.right, y, ends[1], size=sheet.small, ha="right")
