"""Sentences of captions, computed from what is shown; an empty one says that there is nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cbam_viz.figures.ask.spec import FigureSpec, Row
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.values import Axis, Bars, Floats, MapPicture, Picture, axis_of
from cbam_viz.figures.wording import range_text, tick_text
from cbam_viz.render import Scale
from cbam_viz.statistics import placement_note


def bar_sentences(figure: Composition, bars: Sequence[Bars]) -> list[str]:
    """What bars show; nothing if there are none."""
    weights = [one.weights for one in bars]
    if not weights:
        return []
    low, high = axis_of(weights)
    order = "" if figure.spec.order == "index" else f", {order_words(figure.spec)},"
    return [
        f"Bars are channel weights{order} on an axis from {low:g} to {high:g}{_beyond(low, high)}",
        joined_sentence(figure, 1),
        left_out_sentence(weights),
    ]


def order_words(spec: FigureSpec) -> str:
    """How channels are ordered."""
    return "by channel index" if spec.order == "index" else "from the highest to the lowest"


def channels_sentence(spec: FigureSpec) -> str:
    """Which channels are drawn, where not all are."""
    if spec.top is not None and spec.rank == "selective":
        return (
            f"Of each layer, the {spec.top} channels that tell classes apart best are drawn, by "
            "the index of Morcos and others (2018): highest class mean less the mean of the other "
            "classes' means, over their sum"
        )
    if spec.top is not None:
        return f"Of each layer, the {spec.top} channels of the highest mean weight are drawn"
    if spec.sample is not None:
        return f"Of each layer, {spec.sample} channels are drawn, evenly spaced by index"
    return ""


def joined_sentence(figure: Composition, photos: int) -> str:
    """What a bar is where there are more channels than bars fit."""
    most = figure.fit.channels_in_a_step
    if most == 1:
        return ""
    what = f"Where channels are many, up to {most} neighbours share a step"
    if photos > 1:
        return f"{what}: the line is their mean, and the band holds them all"
    return f"{what}: dark up to the lowest of them, pale up to the highest"


def left_out_sentence(weights: Sequence[Floats]) -> str:
    """How many weights have no bar."""
    share = _share_of_nan(weights)
    return f"{_share_text(share)} of the weights are no numbers and left out" if share else ""


def axes_sentence(axis: Axis) -> str:
    """From where to where the axes of weights go."""
    if axis == (0.0, 1.0):
        return "The axes run from 0 to 1, the range of the sigmoid"
    low, high = axis
    return f"The axes run from {low:g} to {high:g}{_beyond(low, high)}"


def _beyond(low: float, high: float) -> str:
    return "" if (low, high) == (0.0, 1.0) else ", as these gates go beyond 0 to 1"


def map_sentences(spec: FigureSpec, scale: Scale | None, maps: Sequence[MapPicture]) -> list[str]:
    """How maps became colours; `scale` is None where each has its own."""
    if not maps:
        return []
    how = laid_sentence(spec)
    values = [part for one in maps for part in one.values]
    if scale is None:
        return [
            how,
            f"Each map has its own scale, from its lowest to its highest value ({spec.colormap}), "
            "printed on it; colours cannot be compared between maps",
            nan_sentence(values),
        ]
    kind = "one absolute scale" if scale.kind == "absolute" else "one scale"
    shared = range_sentence(f"Colours ({spec.colormap}) share {kind}", scale)
    return [how, shared, outside_sentence(values, scale), nan_sentence(values)]


def other_sentences(spec: FigureSpec, maps: Sequence[MapPicture], *, alone: bool) -> list[str]:
    """The same for maps that are no gates; `alone` if there are no maps of gates."""
    if not maps:
        return []
    scales: dict[tuple[str, str, Scale], None] = {}
    for one in maps:
        layer = one.name.partition(":")[0]
        scales[one.quantity, f"{layer} of {one.analysis.model_name}", one.scale] = None
    ranges = [
        f"Colours of the {quantity} of {of} ({spec.colormap}) go from "
        f"{range_text(scale.low, scale.high)}, as printed on each map"
        if scale.low < scale.high
        else f"The {quantity} of {of} is {tick_text(scale.low, 0)} everywhere"
        for quantity, of, scale in scales
    ]
    nan = nan_sentence([part for one in maps for part in one.values])
    return [laid_sentence(spec) if alone else "", *ranges, nan]


def laid_sentence(spec: FigureSpec) -> str:
    """How maps lie on the photo."""
    if spec.style == "map":
        return "Maps are shown alone"
    return f"Maps lie over the photo at {spec.opacity:.0%} opacity"


def outside_sentence(values: Sequence[Floats], scale: Scale) -> str:
    """What becomes of values beyond the colours, if there are any."""
    everything = np.concatenate([one[~np.isnan(one)].ravel() for one in values])
    if not everything.size or not (share := scale.share_outside(everything)):
        return ""
    low, high = float(everything.min()), float(everything.max())
    return (
        f"Values go from {low:.3g} to {high:.3g}; {_share_text(share).lower()} of them lie beyond "
        "the scale and have the colour of its nearer end"
    )


def nan_sentence(values: Sequence[Floats]) -> str:
    """How many values have no colour."""
    share = _share_of_nan(values)
    return f"{_share_text(share)} of the values are no numbers, in magenta" if share else ""


def _share_of_nan(values: Sequence[Floats]) -> float:
    return float(np.mean(np.concatenate([np.isnan(one).ravel() for one in values])))


def _share_text(share: float) -> str:
    return "Less than 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def range_sentence(start: str, scale: Scale | None) -> str:
    """`start` with both ends of a scale."""
    if scale is None:
        return ""
    span = scale.high - scale.low
    if span == 0:
        return f"{start}; every value is {tick_text(scale.low, 0)}, in its middle colour"
    return f"{start} from {tick_text(scale.low, span)} to {tick_text(scale.high, span)}"


def picture_sentences(
    figure: Composition, pictures: Sequence[Picture | MapPicture], rows: int
) -> list[str]:
    """Where maps and photos lie, and what is drawn on them; nothing of what is not there.

    `rows` says how many photos have settings of their own (`FigureSpec.rows`).
    """
    if not pictures:
        return []
    spec = figure.spec
    maps = [one for one in pictures if isinstance(one, MapPicture)]
    settings = [spec.row(index) for index in range(rows)]
    levels = ", ".join(f"{level:g}" for level in spec.contours)
    unit = "photo" if spec.scale_bar == "photo" else "network's input"
    return [
        "Where a picture is too small for its range, the table of values alone has it"
        if figure.fit.ranges_left_out
        else "",
        _cells_sentence(figure) if maps else "",
        _place_sentence(maps),
        _frame_sentence(spec, settings, pictures),
        f"Contours: {levels}" if spec.contours and maps else "",
        "The dashed outline is what the network saw"
        if spec.mark_seen and len(maps) < len(pictures)
        else "",
        "Insets show the outlined region enlarged" if any(row.zoom for row in settings) else "",
        f"Scale bars are in pixels of the {unit}" if spec.scale_bar != "none" else "",
    ]


def _place_sentence(maps: Sequence[MapPicture]) -> str:
    note = placement_note(cells for one in maps for _, cells in one.parts)
    known, _, why = note.removeprefix("place ").partition(": ")
    return f"Places of maps are {known}: {why}" if note else ""


def _cells_sentence(figure: Composition) -> str:
    """How a map's cells became pixels, where they are not interpolated as usual."""
    if figure.spec.cells == "smooth":
        return ""
    lines = ", with lines between them" if figure.spec.cells == "grid" else ""
    if lines and figure.fit.cells_without_lines:
        lines += " where they are wide enough"
    return f"Each cell of a map is shown as it is, in one colour{lines}"


def _frame_sentence(
    spec: FigureSpec, rows: Sequence[Row], pictures: Sequence[Picture | MapPicture]
) -> str:
    geometries = [picture.analysis.geometry for picture in pictures]
    cropped = sum(row.crop is not None for row in rows)
    if cropped:
        return "Photos are cropped" if cropped == len(rows) else "Some photos are cropped"
    if all(geometry.view == "whole" for geometry in geometries):
        return "The network saw whole photos"
    if spec.frame != "seen":
        return "What the network did not see is faded"
    sizes = dict.fromkeys(geometry.input_size for geometry in geometries)
    listed = " or ".join(f"{height} × {width}" for height, width in sizes)
    return f"Photos are cut to what the network saw ({listed} pixels of input)"
