"""Channel weights: a line of coloured cells for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.image import AxesImage

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.classes import ByClass, ClassWeights
from cbam_viz.figures.content.values import Floats, Study
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.legend import Legend, draw_legend, legend_of
from cbam_viz.figures.draw.pictures import OwnPixels
from cbam_viz.figures.draw.plan import LEAST_PICTURE, check_size
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.render import Scale, colorize

_HEAD_GAP = 1.5
_CLASS_LINE = 11.0
"""Height in points of a class's line of cells; up to twice as high where there are few."""
_CLASSES_HEIGHT = 33.0
"""What few classes together fill."""


def draw(spec: FigureSpec, study: Study, content: ByClass) -> PaperFigure:
    """A line of coloured cells for each class, one cell a channel."""
    usual = style_of(spec)
    plan = _matrix_plan(spec, content, usual)
    if not plan.comfortable:
        plan = _matrix_plan(spec, content, usual.smaller)
    sheet = plan.style.sheet(plan.rect.bottom + _foot(plan.style) + plan.legend.height)
    rect = plan.rect
    matrix = np.stack([one.weights for one in content.classes])
    order = np.arange(matrix.shape[1])
    if spec.order == "weight":
        order = np.argsort(-matrix.mean(axis=0), kind="stable")
    _draw_matrix(sheet, rect, matrix[:, order], content.scale, spec.colormap)
    line = rect.height / len(content.classes)
    for index, lines in enumerate(plan.labels):
        place = Rect(0, rect.y + index * line, rect.x - 3, line)
        sheet.lines(place, lines, ha="right", gid=f"class {index + 1}")
        if index:
            sheet.rule(rect.x, rect.y + index * line, rect.right, rect.y + index * line, color="w")
    draw_head(sheet, Rect(rect.x, 0, rect.width, rect.y - _HEAD_GAP), plan.heads.lines[0], "head 1")
    _draw_channel_axis(sheet, rect, matrix.shape[1], spec)
    draw_legend(sheet, plan.legend)
    return sheet.figure


def _foot(style: Style) -> float:
    return style.small + 3.5


@dataclass(frozen=True)
class _MatrixPlan:
    """Where the cells of all classes stand."""

    style: Style
    legend: Legend
    heads: Heads
    labels: list[list[str]]
    """Of each class, in lines."""
    rect: Rect
    comfortable: bool
    """Whether the usual type will do."""


def _matrix_plan(spec: FigureSpec, content: ByClass, style: Style) -> _MatrixPlan:
    names = [_class_name(one) for one in content.classes]
    label_width = min(max(style.measure(name) for name in names), 0.3 * style.width)
    legend = legend_of(style, "Channel weight", content.scale, spec.colormap)
    left = label_width + 4
    heads = break_heads(style, [content.head], [style.width - left])
    top = heads.height(style) + _HEAD_GAP
    labels = [style.wrap(name, label_width, lines=2) for name in names]
    room = style.max_height - top - _foot(style) - legend.height
    alone = max(_CLASS_LINE, min(_CLASSES_HEIGHT / len(names), 2 * _CLASS_LINE))
    line = min(max(alone, max(map(len, labels)) * line_height(style.size) + 1), room / len(names))
    if line < max(map(len, labels)) * line_height(style.size):
        labels = [style.wrap(name, label_width, lines=1) for name in names]
    page = style.width, style.max_height
    check_size(style.width - left, line * LEAST_PICTURE / style.small, len(names), page, "classes")
    comfortable = (
        heads.whole
        and legend.whole
        and line >= line_height(style.size)
        and all(style.fits(name, label_width, lines=2) for name in names)
    )
    rect = Rect(left, top, style.width - left, line * len(names))
    return _MatrixPlan(style, legend, heads, labels, rect, comfortable)


def _class_name(one: ClassWeights) -> str:
    return f"{one.name} ({one.photos} photos)" if one.photos > 1 else one.name


def _draw_matrix(sheet: Sheet, rect: Rect, matrix: Floats, scale: Scale, colormap: str) -> None:
    axes = sheet.axes(rect, "weights axes")
    image: AxesImage = OwnPixels(
        axes,
        extent=(0, matrix.shape[1], matrix.shape[0], 0),
        origin="upper",
        interpolation_stage="rgba",
    )
    image.set_data(colorize(matrix, scale, colormap))
    image.set_gid("weights")
    axes.add_image(image)
    axes.set_xlim(0, matrix.shape[1])
    axes.set_ylim(matrix.shape[0], 0)


def _draw_channel_axis(sheet: Sheet, rect: Rect, channels: int, spec: FigureSpec) -> None:
    y = rect.bottom + 1.2 + 0.8 * sheet.small
    middle = "channel" if spec.order == "index" else "channels, highest mean weight first"
    ends = ("0", f"{channels - 1}") if spec.order == "index" else ("1", f"{channels}")
    sheet.text(rect.x, y, ends[0], size=sheet.small, ha="left")
    sheet.text(rect.x + rect.width / 2, y, middle, size=sheet.small)
    sheet.text(rect.right, y, ends[1], size=sheet.small, ha="right")
