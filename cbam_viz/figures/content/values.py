"""What stands in each place of a figure, as values: nothing is drawn here.

Tables, arrays and captions read the same objects as the drawing, so that they cannot disagree.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.analysis import Analysis
from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import PREDICTED, Column, FigureSpec, parse_column
from cbam_viz.images import border_note
from cbam_viz.render import Scale, absolute_scale, map_scale, shared_scale

Floats = npt.NDArray[np.float32]

MAX_DEFAULT_MAPS = 4


@dataclass(frozen=True)
class Study:
    """The analysed photos: `analyses[photo][network]`, all photos by the same networks."""

    analyses: tuple[tuple[Analysis, ...], ...]

    def __post_init__(self) -> None:
        if not self.analyses or not self.analyses[0]:
            raise FigureError("A figure needs at least one photo and one network.")
        if len({len(row) for row in self.analyses}) != 1:
            raise FigureError("Each photo of a figure must be analysed by the same networks.")

    @property
    def networks(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(analysis.model_name for analysis in self.analyses[0])

    @property
    def border(self) -> str:
        """What surrounds the photos in the networks' inputs, in words; empty if nothing does."""
        return border_note(*(analysis.geometry for row in self.analyses for analysis in row))

    def network(self, index: int) -> Analysis:
        """The first photo as that network sees it.

        Raises:
            FigureError: if there are not so many networks.
        """
        if index >= len(self.networks):
            count = len(self.networks)
            raise FigureError(
                f"The figure asks for network {index + 1}, and there "
                f"{'is one' if count == 1 else f'are {count}'}: add a checkpoint or a network."
            )
        return self.analyses[0][index]


@dataclass(frozen=True)
class Picture:
    """A place that shows the photo."""

    analysis: Analysis


@dataclass(frozen=True)
class MapPicture:
    """A place that shows a map on the photo."""

    analysis: Analysis
    name: str
    """Layer or stage."""
    parts: tuple[tuple[Floats, Cells], ...]
    """The map (h, w) with its cells. Several where a stage's layers differ in size: what is shown
    is their mean on the photo."""
    scale: Scale

    @property
    def values(self) -> list[Floats]:
        """The maps alone."""
        return [values for values, _ in self.parts]


@dataclass(frozen=True)
class Bars:
    """A place that shows channel weights."""

    analysis: Analysis
    name: str
    weights: Floats
    """(C,), by index."""


Axis = tuple[float, float]
"""Lower and upper end of the axis of channel weights."""


def bar_weights(grid: Grid) -> list[Floats]:
    """The channel weights of all places that show some."""
    return [place.weights for row in grid.rows for place in row if isinstance(place, Bars)]


def axis_of(weights: Iterable[Floats]) -> Axis:
    """0 to 1, or the whole numbers around gates that go beyond."""
    low, high = 0.0, 1.0
    for values in weights:
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return float(math.floor(low + 1e-6)), float(math.ceil(high - 1e-6))


@dataclass(frozen=True)
class Words:
    """A place that shows text."""

    text: str


Place = Picture | MapPicture | Bars | Words


@dataclass(frozen=True)
class Grid:
    """The places of a grid, row by row, and its headings."""

    columns: tuple[Column, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[Place, ...], ...]
    labels: tuple[str, ...]
    """One for each row; all empty if there are none."""
    scale: Scale | None
    """The one scale of all maps; None if each has its own, or there are no maps."""


def study_of(
    analyses: Study | Analysis | Sequence[Analysis] | Sequence[Sequence[Analysis]],
) -> Study:
    """One analysis, one for each photo, or for each photo one for each network."""
    if isinstance(analyses, Study):
        return analyses
    if isinstance(analyses, Analysis):
        return Study(((analyses,),))
    return Study(tuple((row,) if isinstance(row, Analysis) else tuple(row) for row in analyses))


def find_layer(attention: Attention, name: str) -> LayerAttention:
    """A layer by name, or by its place in the order of execution (`0`, `-1`).

    Raises:
        FigureError: if there is none; the text gives near names.
    """
    if name in attention:
        return attention[name]
    names = list(attention)
    if name.lstrip("-").isdecimal() and -len(names) <= int(name) < len(names):
        return attention[names[int(name)]]
    if not names:
        raise FigureError(
            "This network has no attention layers. Of it a figure can show the input, class, "
            "probability and prediction."
        )
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[-3:]
    raise FigureError(
        f"The network has no attention layer {name!r}. It has {len(names)}, such as "
        f"{', '.join(near)}; 0 and -1 mean the first and the last."
    )


def stages(attention: Attention) -> dict[str, list[LayerAttention]]:
    """Layers by stage, in order of execution."""
    result: dict[str, list[LayerAttention]] = {}
    for layer in attention.values():
        result.setdefault(layer.stage, []).append(layer)
    return result


def find_stage(attention: Attention, name: str) -> list[LayerAttention]:
    """The layers of a stage.

    Raises:
        FigureError: if there is no such stage.
    """
    known = stages(attention)
    if not known:
        find_layer(attention, name)
    if name not in known:
        raise FigureError(f"The network has no stage {name!r}. It has {', '.join(known)}.")
    return known[name]


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Names without the last part that all share: `layer1.0.se` becomes `layer1.0`."""
    names = list(names)
    plain = [name.partition("#")[0] for name in names]
    last = {name.rpartition(".")[2] for name in plain}
    if len(last) != 1 or not all("." in name for name in plain):
        return {name: name for name in names}
    ending = "." + last.pop()
    return {name: _without(name, ending) for name in names}


def spatial_map(layer: LayerAttention) -> tuple[Floats, Cells]:
    """The first image's map and where it lies.

    Raises:
        FigureError: if the layer has channel weights only.
    """
    if layer.spatial is None or layer.cells is None:
        raise FigureError(
            f"The layer {layer.name} gates channels only and has no spatial map. "
            f"Show its channel weights (channels:{layer.name}), or choose another layer."
        )
    return layer.spatial[0].numpy().astype(np.float32, copy=False), layer.cells


def channel_weights(layer: LayerAttention) -> Floats:
    """The first image's weights (C,).

    Raises:
        FigureError: if the layer has a spatial map only.
    """
    if layer.channel is None:
        raise FigureError(
            f"The layer {layer.name} has a spatial map only and no channel weights. "
            f"Show its map (map:{layer.name}), or choose another layer."
        )
    return layer.channel[0].numpy().astype(np.float32, copy=False)


def default_columns(study: Study) -> tuple[Column, ...]:
    """Input, the last map of each stage (all maps where there is one stage), the prediction.

    Maps and prediction of every network, where it has them. At most the last four maps in all.
    """
    most = max(1, MAX_DEFAULT_MAPS // len(study.networks))
    columns = [Column("input")]
    for model, analysis in enumerate(study.analyses[0]):
        mapped = [
            [layer for layer in layers if layer.spatial is not None]
            for layers in stages(analysis.attention).values()
        ]
        mapped = [layers for layers in mapped if layers]
        chosen = mapped[0] if len(mapped) == 1 else [layers[-1] for layers in mapped]
        columns += [Column("map", layer.name, model) for layer in chosen[-most:]]
        if analysis.predictions:
            columns.append(Column("prediction", model=model))
    return tuple(columns)


def columns_from_text(text: str) -> tuple[Column, ...]:
    """Columns as the command line and the app write them: comma-separated."""
    return tuple(parse_column(part) for part in text.split(",") if part.strip())


def grid_content(spec: FigureSpec, study: Study) -> Grid:
    """Everything that a grid shows.

    Raises:
        FigureError: for a layer, stage or network that is not there.
    """
    columns = spec.columns or default_columns(study)
    parts = [
        [_map_parts(column, row[column.model]) for column in _checked(columns, study)]
        for row in study.analyses
    ]
    scales = scales_of(spec, [[v for v, _ in p] for row in parts for p in row if p])
    supply = iter(scales)
    rows = tuple(
        tuple(
            _place(column, row[column.model], found, supply)
            for column, found in zip(columns, row_parts, strict=True)
        )
        for row, row_parts in zip(study.analyses, parts, strict=True)
    )
    common = scales[0] if scales and spec.scale != "per map" else None
    heads = tuple(_head(column, study) for column in columns)
    return Grid(columns, heads, rows, row_labels(spec, study), common)


def scales_of(spec: FigureSpec, maps: Sequence[Sequence[Floats]]) -> list[Scale]:
    """A scale for each place, which may show several maps averaged."""
    if spec.scale == "absolute":
        return [absolute_scale()] * len(maps)
    if spec.scale == "per map":
        return [map_scale(np.concatenate([m.ravel() for m in place])[None]) for place in maps]
    everything = [values for place in maps for values in place]
    return [shared_scale(everything)] * len(maps) if everything else []


def row_labels(spec: FigureSpec, study: Study) -> tuple[str, ...]:
    """What stands at the left of each photo's row."""
    labels = []
    for index, row in enumerate(study.analyses):
        own = spec.row(index).label
        if own is None and spec.row_labels == "name":
            own = row[0].photo.name.rpartition(".")[0] or row[0].photo.name
        elif own is None and spec.row_labels == "class":
            own = top_class(row[0])
        labels.append(own or "")
    return tuple(labels)


def top_class(analysis: Analysis) -> str:
    """The predicted class; empty where the network classifies nothing."""
    return analysis.predictions[0].label if analysis.predictions else ""


def _without(name: str, ending: str) -> str:
    module, mark, call = name.partition("#")
    return module.removesuffix(ending) + mark + call


def _checked(columns: Sequence[Column], study: Study) -> Sequence[Column]:
    for column in columns:
        study.network(column.model)
    return columns


def _map_parts(column: Column, analysis: Analysis) -> tuple[tuple[Floats, Cells], ...]:
    if column.kind == "map":
        return (spatial_map(find_layer(analysis.attention, column.name or "")),)
    if column.kind != "stage":
        return ()
    layers = find_stage(analysis.attention, column.name or "")
    maps = [spatial_map(layer) for layer in layers if layer.spatial is not None]
    if not maps:
        spatial_map(layers[0])
    if all(m.shape == maps[0][0].shape and cells == maps[0][1] for m, cells in maps):
        mean: Floats = np.stack([m for m, _ in maps]).mean(axis=0, dtype=np.float32)
        return ((mean, maps[0][1]),)
    return tuple(maps)


def _place(
    column: Column,
    analysis: Analysis,
    parts: tuple[tuple[Floats, Cells], ...],
    scales: Iterable[Scale],
) -> Place:
    if column.kind == "input":
        return Picture(analysis)
    if column.kind == "channels":
        layer = find_layer(analysis.attention, column.name or "")
        return Bars(analysis, layer.name, channel_weights(layer))
    if parts:
        name = column.name or ""
        if column.kind == "map":
            name = find_layer(analysis.attention, name).name
        return MapPicture(analysis, name, parts, next(iter(scales)))
    return Words(_words(column, analysis))


def _words(column: Column, analysis: Analysis) -> str:
    if not analysis.predictions:
        return "–"
    best = analysis.predictions[0]
    label, share = str(best.label), f"{best.probability:.2f}"
    return {"class": label, "probability": share}.get(column.kind, f"{label}\n{share}")


def _head(column: Column, study: Study) -> str:
    if column.head is not None:
        return column.head
    analysis = study.network(column.model)
    if column.kind == "input":
        return "Input"
    if column.kind in PREDICTED:
        head = {"class": "Class", "probability": "Probability"}.get(column.kind, "Prediction")
    elif column.kind == "stage":
        head = f"{column.name} (mean)"
    else:
        layer = find_layer(analysis.attention, column.name or "").name
        short = short_names(analysis.attention)[layer]
        head = f"{short} channels" if column.kind == "channels" else short
    return f"{analysis.model_name}\n{head}" if len(study.networks) > 1 else head
