"""Channel weights: a panel for each layer, or a line for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.image import AxesImage

from cbam_viz.errors import FigureError
from cbam_viz.figures.bars import bars_margin, draw_bars, ordered
from cbam_viz.figures.content import (
    Axis,
    Floats,
    Study,
    axis_of,
    channel_weights,
    find_layer,
    short_names,
    top_class,
)
from cbam_viz.figures.grid import letter
from cbam_viz.figures.legend import draw_legend, legend_height
from cbam_viz.figures.pictures import OwnPixels
from cbam_viz.figures.plan import Rect, choose_per_line
from cbam_viz.figures.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.spec import FigureSpec
from cbam_viz.figures.typesetting import line_height
from cbam_viz.render import Scale, absolute_scale, colorize, shared_scale

_PANEL = 96.0
"""Width in points that a panel has at least."""
_PANEL_ASPECT = 0.5
_GAP_X = 8.0
_GAP_Y = 5.0
_CLASS_LINE = 11.0
"""Height in points of a class's line of cells."""
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
    style = style_of(spec)
    axis = axis_of(panel.weights for panel in panels)
    axis_name = line_height(style.small)
    margin = bars_margin(style, axis) + axis_name
    per_line = min(
        spec.per_line or choose_per_line((1,) * len(panels), style.width, _PANEL), len(panels)
    )
    width = (style.width - margin - _GAP_X * (per_line - 1)) / per_line
    head, foot = line_height(style.size) + 1.5, style.small + 3.5
    lines = -(-len(panels) // per_line)
    most = (style.max_height + _GAP_Y) / lines - head - foot - _GAP_Y
    height = min(width * _PANEL_ASPECT, most, 90.0)
    step = head + height + foot + _GAP_Y
    sheet = style.sheet(step * lines - _GAP_Y)
    for index, panel in enumerate(panels):
        line, place = divmod(index, per_line)
        rect = Rect(margin + place * (width + _GAP_X), line * step + head, width, height)
        _draw_panel(sheet, rect, panel, spec, index=index, axis=axis, first=place == 0)
    return sheet.figure


def draw_by_class(spec: FigureSpec, content: ByClass) -> PaperFigure:
    """A line of coloured cells for each class, one cell a channel."""
    style = style_of(spec)
    names = [_class_name(one) for one in content.classes]
    label_width = min(max(style.measure(name) for name in names), 0.3 * style.width) + 4
    head, foot = line_height(style.size) + 1.5, style.small + 3.5
    labels = [style.wrap(name, label_width - 4, lines=2) for name in names]
    line = max(_CLASS_LINE, max(map(len, labels)) * line_height(style.size) + 1)
    room = style.max_height - head - foot - legend_height(style)
    line = min(line, room / len(names))
    height = line * len(names)
    sheet = style.sheet(head + height + foot + legend_height(style))
    rect = Rect(label_width, head, style.width - label_width, height)
    matrix = np.stack([one.weights for one in content.classes])
    order = np.arange(matrix.shape[1])
    if spec.order == "weight":
        order = np.argsort(-matrix.mean(axis=0), kind="stable")
    _draw_matrix(sheet, rect, matrix[:, order], content.scale, spec.colormap)
    for index, lines in enumerate(labels):
        place = Rect(0, rect.y + index * line, label_width - 3, line)
        sheet.lines(place, lines, ha="right", gid=f"class {index + 1}")
        if index:
            sheet.rule(rect.x, rect.y + index * line, rect.right, rect.y + index * line, color="w")
    sheet.text(rect.x + rect.width / 2, head - 3.5, content.head, gid="head 1")
    _draw_channel_axis(sheet, rect, matrix.shape[1], spec)
    draw_legend(sheet, "Channel weight", content.scale, spec.colormap)
    return sheet.figure


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
    index: int,
    axis: Axis,
    first: bool,
) -> None:
    rows = np.stack([ordered(row, spec.order) for row in panel.weights])
    band = (rows.min(axis=0), rows.max(axis=0)) if len(rows) > 1 else None
    draw_bars(
        sheet, rect, rows.mean(axis=0, dtype=np.float32), gid=f"panel {index + 1}", axis=axis,
        band=band, y_labels=first, order=spec.order,
    )  # fmt: skip
    if first:
        x, y = rect.x - bars_margin(_style(sheet), axis) - 1, rect.y + rect.height / 2
        sheet.text(x, y, "channel weight", size=sheet.small, rotation=90)
    head = panel.head
    if spec.letters != "none":
        head = f"{letter(index)} {head}"
    if spec.heads:
        (short,) = _style(sheet).wrap(head, rect.width, lines=1)
        sheet.text(rect.x + rect.width / 2, rect.y - 3.2, short, gid=f"head {index + 1}")


def _style(sheet: Sheet) -> Style:
    return Style(sheet.width, sheet.height, sheet.font, sheet.size, sheet.small)


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
