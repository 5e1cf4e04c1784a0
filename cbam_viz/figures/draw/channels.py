"""Channel weights: a panel for each layer, or a line for each class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.image import AxesImage

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import (
    Axis,
    Floats,
    Study,
    axis_of,
    channel_weights,
    find_layer,
    short_names,
    top_class,
)
from cbam_viz.figures.draw.bars import bars_margin, draw_bars, ordered
from cbam_viz.figures.draw.grid import letter
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.legend import Legend, draw_legend, legend_of
from cbam_viz.figures.draw.pictures import OwnPixels
from cbam_viz.figures.draw.plan import LEAST_PICTURE, Rect, check_size, choose_per_line
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.render import Scale, absolute_scale, colorize, shared_scale

_PANEL = 96.0
"""Width in points that a panel has at least."""
_PANEL_ASPECT = 0.5
_GAP_X = 8.0
_GAP_Y = 5.0
_TALLEST_PANEL, _LOWEST_PANEL = 90.0, 24.0
_HEAD_GAP = 1.5
_CLASS_LINE = 11.0
"""Height in points of a class's line of cells; up to twice as high where there are few."""
_CLASSES_HEIGHT = 33.0
"""What few classes together fill."""
UNKNOWN = "all photos"


@dataclass(frozen=True)
class LayerWeights:
    """One layer's channel weights over all photos."""

    layer: str
    head: str
    weights: Floats
    """(photos, C), by index."""


@dataclass(frozen=True)
class ClassWeights:
    """Mean channel weights of the photos of one class, in one layer."""

    name: str
    photos: int
    weights: Floats
    """(C,), by index."""


@dataclass(frozen=True)
class ByClass:
    """Classes in the order of their first photo."""

    layer: str
    head: str
    classes: tuple[ClassWeights, ...]
    scale: Scale


def by_layer(spec: FigureSpec, study: Study) -> tuple[LayerWeights, ...]:
    """Weights of all layers, or of `spec.layers`, that gate channels.

    Raises:
        FigureError: if none does.
    """
    attention = study.analyses[0][0].attention
    chosen = [find_layer(attention, name) for name in spec.layers or attention]
    layers = [layer for layer in chosen if layer.channel is not None]
    if not layers:
        raise FigureError(
            "None of these layers has channel weights. Use the layout 'depth' to show their maps."
        )
    short = short_names(attention)
    return tuple(
        LayerWeights(
            layer.name,
            short[layer.name],
            np.stack([channel_weights(row[0].attention[layer.name]) for row in study.analyses]),
        )
        for layer in layers
    )


def by_class(spec: FigureSpec, study: Study) -> ByClass:
    """Mean weights of `spec.layer` (the last one by default) for each class.

    A photo's class is its row's `group`, else the predicted one.
    """
    attention = study.analyses[0][0].attention
    layer = find_layer(attention, spec.layer or _last_channel_layer(study)).name
    groups: dict[str, list[Floats]] = {}
    for index, row in enumerate(study.analyses):
        name = spec.row(index).group or top_class(row[0]) or UNKNOWN
        groups.setdefault(name, []).append(channel_weights(row[0].attention[layer]))
    classes = tuple(
        ClassWeights(name, len(rows), np.stack(rows).mean(axis=0, dtype=np.float32))
        for name, rows in groups.items()
    )
    means = [one.weights for one in classes]
    scale = absolute_scale() if spec.scale == "absolute" else shared_scale(means)
    return ByClass(layer, short_names(attention)[layer], classes, scale)


def draw_by_layer(spec: FigureSpec, panels: tuple[LayerWeights, ...]) -> PaperFigure:
    """A panel for each layer; with several photos their mean, and a band from lowest to highest."""
    axis = axis_of(panel.weights for panel in panels)
    usual = style_of(spec)
    plan = _plan(spec, panels, axis, usual)
    if not plan.heads.whole or plan.height_of_panel < _LOWEST_PANEL:
        plan = _plan(spec, panels, axis, usual.smaller)
    style = plan.style
    sheet = style.sheet(plan.height)
    head = plan.heads.height(style)
    for index, (panel, rect) in enumerate(zip(panels, plan.rects(), strict=True)):
        gid = f"panel {index + 1}"
        _draw_panel(sheet, rect, panel, spec, gid=gid, axis=axis, first=rect.x == plan.margin)
        room = Rect(rect.x, rect.y - _HEAD_GAP - head, rect.width, head)
        draw_head(sheet, room, plan.heads.lines[index], f"head {index + 1}")
    _name_axis(sheet, plan)
    return sheet.figure


@dataclass(frozen=True)
class _Plan:
    """Lines of panels."""

    style: Style
    heads: Heads
    margin: float
    """Room for the axis at the left."""
    count: int
    per_line: int
    width: float
    height_of_panel: float

    @property
    def shrunk(self) -> bool:
        """Whether the page is so short that panels are lower than they should be."""
        return self.height_of_panel < 0.7 * min(self.width * _PANEL_ASPECT, _TALLEST_PANEL)

    @property
    def above(self) -> float:
        """Room for the headings of a line."""
        head = self.heads.height(self.style)
        return head + _HEAD_GAP if head else 0.5 * self.style.small

    @property
    def step(self) -> float:
        """From the top of one line to that of the next."""
        return self.above + self.height_of_panel + _foot(self.style) + _GAP_Y

    @property
    def height(self) -> float:
        """Of the whole figure."""
        return self.step * -(-self.count // self.per_line) - _GAP_Y

    def rects(self) -> list[Rect]:
        """Places of all panels."""
        places = (divmod(index, self.per_line) for index in range(self.count))
        return [
            Rect(
                self.margin + place * (self.width + _GAP_X),
                line * self.step + self.above,
                self.width,
                self.height_of_panel,
            )
            for line, place in places
        ]


def _foot(style: Style) -> float:
    return style.small + 3.5


def _plan(spec: FigureSpec, panels: tuple[LayerWeights, ...], axis: Axis, style: Style) -> _Plan:
    """The lines in which the panels leave least white; on a short page, are largest."""
    margin = bars_margin(style, axis) + line_height(style.small)
    texts = [_head(spec, panel, index) for index, panel in enumerate(panels)]
    count = len(panels)

    def lined(per_line: int) -> _Plan:
        per_line = min(per_line, count)
        width = (style.width - margin - _GAP_X * (per_line - 1)) / per_line
        heads = break_heads(style, texts, (width + 1,) * count)
        plan = _Plan(style, heads, margin, count, per_line, width, 0.0)
        most = (style.max_height + _GAP_Y) / -(-count // per_line) - plan.step
        return replace(plan, height_of_panel=min(width * _PANEL_ASPECT, most, _TALLEST_PANEL))

    plan = lined(spec.per_line or choose_per_line((1,) * count, style.width, _PANEL))
    if plan.shrunk and spec.per_line is None:
        ways = (lined(per_line) for per_line in range(1, count + 1))
        plan = max(ways, key=lambda way: min(way.width * _PANEL_ASPECT, way.height_of_panel))
    page = style.width, style.max_height
    check_size(plan.width, plan.height_of_panel, count, page, "panels")
    return plan


def _head(spec: FigureSpec, panel: LayerWeights, index: int) -> str:
    if not spec.heads:
        return ""
    return panel.head if spec.letters == "none" else f"{letter(index)} {panel.head}"


def _name_axis(sheet: Sheet, plan: _Plan) -> None:
    """Say what the axis is, upright at the left: beside each line, or once where lines are low."""
    name = "channel weight"
    length = sheet.measure(name, sheet.small)
    firsts = plan.rects()[:: plan.per_line]
    middles = [rect.y + rect.height / 2 for rect in firsts]
    if length + 2 * sheet.small > plan.step and len(middles) > 1:
        middles = [sheet.height / 2]
    if length > sheet.height:
        name, length = "weight", sheet.measure("weight", sheet.small)
    x = line_height(sheet.small) - 1
    for y in middles:
        # Letters reach a little beyond their line.
        inside = min(max(y, length / 2 + 1), sheet.height - length / 2 - 1)
        sheet.text(x, inside, name, size=sheet.small, rotation=90)


def draw_by_class(spec: FigureSpec, content: ByClass) -> PaperFigure:
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


def _last_channel_layer(study: Study) -> str:
    attention = study.analyses[0][0].attention
    names = [layer.name for layer in attention.values() if layer.channel is not None]
    if not names:
        raise FigureError("The network has no layer with channel weights.")
    return str(names[-1])


def _draw_panel(
    sheet: Sheet,
    rect: Rect,
    panel: LayerWeights,
    spec: FigureSpec,
    *,
    gid: str,
    axis: Axis,
    first: bool,
) -> None:
    rows = np.stack([ordered(row, spec.order) for row in panel.weights])
    draw_bars(sheet, rect, rows, gid=gid, axis=axis, y_labels=first, order=spec.order)


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
