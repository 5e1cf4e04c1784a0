"""A figure's caption in words, computed from what was drawn.

It says what is shown and how values became colours, so that a reader needs nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cbam_viz.attention import Cells
from cbam_viz.figures.ask.spec import PREDICTED, Column, FigureSpec, Row
from cbam_viz.figures.beside.tables import shown_values
from cbam_viz.figures.build import Built
from cbam_viz.figures.content.gated import GatedChannel
from cbam_viz.figures.content.values import (
    Axis,
    Floats,
    Grid,
    MapPicture,
    Picture,
    Study,
    axis_of,
    bar_weights,
    find_layer,
)
from cbam_viz.figures.draw.channels import ByClass
from cbam_viz.figures.draw.depth import Strip
from cbam_viz.figures.draw.legend import tick_text
from cbam_viz.render import Scale
from cbam_viz.statistics import placement_note


def caption(built: Built) -> str:
    """What the figure shows, how it is scaled and what the networks were given, in plain text."""
    border = built.study.border
    told = _sentences(f"Photos are {border}") if border else ""
    return " ".join(filter(None, (_shown(built), told, *_assumptions(built))))


def _shown(built: Built) -> str:
    """What the figure shows and how it is scaled."""
    content, spec, study = built.content, built.spec, built.study
    network = study.networks[0]
    if isinstance(content, Grid):
        return _sentences(
            _grid_caption(content, study), *_map_sentences(spec, content.scale, _maps(content)),
            *_picture_sentences(built, content), *_bar_sentences(built, content),
        )  # fmt: skip
    if isinstance(content, Strip):
        maps = list(content.maps)
        strip = Grid((), (), ((content.picture, *maps),), ("",), content.scale)
        return _sentences(
            f"Spatial attention of {len(maps)} layers of {network}, in the order in which "
            "they run, after the input",
            *_map_sentences(spec, content.scale, maps), *_picture_sentences(built, strip),
        )  # fmt: skip
    if isinstance(content, GatedChannel):
        weights = ", ".join(f"{weight:.2f}" for weight in content.weights)
        values = [part for one in _maps(content.grid) for part in one.values]
        return _sentences(
            f"Channel {content.channel} of layer {content.layer} of {network} before and after its "
            f"gates (channel weight {weights})",
            _range_sentence(f"All feature maps share one scale ({spec.colormap})",
                            content.grid.scale),
            _nan_sentence(values), *_picture_sentences(built, content.grid),
        )  # fmt: skip
    if isinstance(content, ByClass):
        weights_shown = [one.weights for one in content.classes]
        sorted_by = ", from the channel of the highest mean weight to that of the lowest"
        return _sentences(
            f"Channel weights of layer {content.layer} of {network}, one line a class, one cell a "
            f"channel{sorted_by if spec.order == 'weight' else ''}; a line is the mean over the "
            "photos of its class",
            _range_sentence(f"Colours ({spec.colormap}) share one scale", content.scale),
            _outside_sentence(weights_shown, content.scale), _nan_sentence(weights_shown),
        )  # fmt: skip
    photos = len(study.analyses)
    many = f": mean (line) and lowest to highest value (band) over {photos} photos"
    weights_of = [layer.weights for layer in content]
    return _sentences(
        f"Channel weights of {len(content)} layers of {network}, {_order_words(spec)}"
        + (many if photos > 1 else ""),
        _axes_sentence(axis_of(weights_of)), _joined_sentence(built, photos),
        _left_out_sentence(weights_of),
    )  # fmt: skip


def _assumptions(built: Built) -> list[str]:
    """What was assumed of the networks' inputs, and why a prediction's place is empty."""
    study, content = built.study, built.content
    told = [
        (analysis.model_name, analysis.fed)
        for analysis in study.analyses[0]
        if analysis.spec is not None and analysis.spec.assumed
    ]
    columns = content.columns if isinstance(content, Grid) else ()
    models = {column.model for column in columns if column.kind in PREDICTED}
    told += [
        (row[model].model_name, row[model].prediction_note)
        for row in study.analyses
        for model in sorted(models)
        if not row[model].predictions
    ]
    several = len(study.networks) > 1
    return [f"{name}: {text}" if several else text for name, text in dict.fromkeys(told)]


def _sentences(*parts: str) -> str:
    return " ".join(f"{part}." for part in parts if part)


def _grid_caption(grid: Grid, study: Study) -> str:
    shown = "; ".join(_column_words(column, study) for column in grid.columns)
    networks = study.networks
    of = " and ".join(dict.fromkeys(networks[column.model] for column in grid.columns))
    return f"Attention of {of}. Columns, from left to right: {shown}"


def _column_words(column: Column, study: Study) -> str:
    analysis = study.network(column.model)
    of = f" of {analysis.model_name}" if len(study.networks) > 1 else ""
    if column.kind == "input":
        return "the input"
    if column.kind in ("map", "channels"):
        layer = find_layer(analysis.attention, column.name or "").name
        what = "spatial map" if column.kind == "map" else "channel weights"
        return f"{what} of {layer}{of}"
    if column.kind == "stage":
        return f"mean of the spatial maps of stage {column.name}{of}"
    words = {"class": "the predicted class", "probability": "its probability"}
    return words.get(column.kind, "the predicted class with its probability") + of


def _maps(grid: Grid) -> list[MapPicture]:
    return [place for row in grid.rows for place in row if isinstance(place, MapPicture)]


def _bar_sentences(built: Built, grid: Grid) -> list[str]:
    """What the bars of a grid show; nothing if there are none."""
    weights = bar_weights(grid)
    if not weights:
        return []
    low, high = axis_of(weights)
    order = "" if built.spec.order == "index" else f", {_order_words(built.spec)},"
    return [
        f"Bars are channel weights{order} on an axis from {low:g} to {high:g}{_beyond(low, high)}",
        _joined_sentence(built, 1),
        _left_out_sentence(weights),
    ]


def _order_words(spec: FigureSpec) -> str:
    return "by channel index" if spec.order == "index" else "from the highest to the lowest"


def _joined_sentence(built: Built, photos: int) -> str:
    """What a bar is where there are more channels than bars fit."""
    most = built.figure.channels_in_a_step
    if most == 1:
        return ""
    what = f"Where channels are many, up to {most} neighbours share a step"
    if photos > 1:
        return f"{what}: the line is their mean, and the band holds them all"
    return f"{what}: dark up to the lowest of them, pale up to the highest"


def _left_out_sentence(weights: Sequence[Floats]) -> str:
    share = _share_of_nan(weights)
    return f"{_share_text(share)} of the weights are no numbers and left out" if share else ""


def _axes_sentence(axis: Axis) -> str:
    if axis == (0.0, 1.0):
        return "The axes run from 0 to 1, the range of the sigmoid"
    low, high = axis
    return f"The axes run from {low:g} to {high:g}{_beyond(low, high)}"


def _beyond(low: float, high: float) -> str:
    return "" if (low, high) == (0.0, 1.0) else ", as these gates go beyond 0 to 1"


def _map_sentences(spec: FigureSpec, scale: Scale | None, maps: Sequence[MapPicture]) -> list[str]:
    if not maps:
        return []
    how = (
        "Maps are shown alone"
        if spec.style == "map"
        else f"Maps lie over the photo at {spec.opacity:.0%} opacity"
    )
    values = [part for one in maps for part in one.values]
    if scale is None:
        return [
            how,
            f"Each map has its own scale, from its lowest to its highest value ({spec.colormap}), "
            "printed on it; colours cannot be compared between maps",
            _nan_sentence(values),
        ]
    kind = "one absolute scale" if scale.kind == "absolute" else "one scale"
    shared = _range_sentence(f"Colours ({spec.colormap}) share {kind}", scale)
    return [how, shared, _outside_sentence(values, scale), _nan_sentence(values)]


def _outside_sentence(values: Sequence[Floats], scale: Scale) -> str:
    """What becomes of values beyond the colours, if there are any."""
    everything = np.concatenate([one[~np.isnan(one)].ravel() for one in values])
    if not everything.size or not (share := scale.share_outside(everything)):
        return ""
    low, high = float(everything.min()), float(everything.max())
    return (
        f"Values go from {low:.3g} to {high:.3g}; {_share_text(share).lower()} of them lie beyond "
        "the scale and have the colour of its nearer end"
    )


def _nan_sentence(values: Sequence[Floats]) -> str:
    share = _share_of_nan(values)
    return f"{_share_text(share)} of the values are no numbers, in magenta" if share else ""


def _share_of_nan(values: Sequence[Floats]) -> float:
    return float(np.mean(np.concatenate([np.isnan(one).ravel() for one in values])))


def _share_text(share: float) -> str:
    return "Less than 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def _range_sentence(start: str, scale: Scale | None) -> str:
    if scale is None:
        return ""
    span = scale.high - scale.low
    if span == 0:
        return f"{start}; every value is {tick_text(scale.low, 0)}, in its middle colour"
    return f"{start} from {tick_text(scale.low, span)} to {tick_text(scale.high, span)}"


def _place_sentence(built: Built) -> str:
    note = placement_note(Cells(**one) for entry in shown_values(built) for one in entry.cells)
    known, _, why = note.removeprefix("place ").partition(": ")
    return f"Places of maps are {known}: {why}" if note else ""


def _picture_sentences(built: Built, grid: Grid) -> list[str]:
    """Where maps and photos lie, and what is drawn on them; nothing of what is not there."""
    places = [place for row in grid.rows for place in row]
    pictures = [place for place in places if isinstance(place, (Picture, MapPicture))]
    if not pictures:
        return []
    spec = built.spec
    has_maps = any(isinstance(place, MapPicture) for place in pictures)
    has_photos = any(isinstance(place, Picture) for place in pictures)
    rows = [spec.row(index) for index in range(len(grid.rows))]
    levels = ", ".join(f"{level:g}" for level in spec.contours)
    unit = "photo" if spec.scale_bar == "photo" else "network's input"
    return [
        _cells_sentence(built) if has_maps else "",
        _place_sentence(built) if has_maps else "",
        _frame_sentence(spec, rows, pictures),
        f"Contours: {levels}" if spec.contours and has_maps else "",
        "The dashed outline is what the network saw" if spec.mark_seen and has_photos else "",
        "Insets show the outlined region enlarged" if any(row.zoom for row in rows) else "",
        f"Scale bars are in pixels of the {unit}" if spec.scale_bar != "none" else "",
    ]


def _cells_sentence(built: Built) -> str:
    """How a map's cells became pixels, where they are not interpolated as usual."""
    if built.spec.cells == "smooth":
        return ""
    lines = ", with lines between them" if built.spec.cells == "grid" else ""
    if lines and built.figure.cells_without_lines:
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
