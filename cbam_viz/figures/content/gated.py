"""One channel before and after its gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbam_viz.analysis import Analysis
from cbam_viz.attention import LayerAttention
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import Column, FigureSpec
from cbam_viz.figures.content.values import (
    Floats,
    Grid,
    MapPicture,
    Picture,
    Place,
    Study,
    channel_weights,
    find_layer,
    row_labels,
    short_names,
)
from cbam_viz.figures.paper.typesetting import NO_BREAK
from cbam_viz.render import Colormap, Scale, shared_scale

SIGNED_COLORMAP: Colormap = "diverging"
"""Of features below and above 0, whatever the figure asks for."""


@dataclass(frozen=True)
class GatedChannel:
    """What one channel's figure shows."""

    layer: str
    channel: int
    weights: tuple[float, ...]
    """The channel's weight in each photo."""
    grid: Grid


def needed_features(spec: FigureSpec, layers: list[str]) -> list[str]:
    """Names of the layers whose features must be captured for the figure."""
    if spec.layout != "channel":
        return []
    name = spec.layer or layers[-1]
    if (
        name not in layers
        and name.lstrip("-").isdecimal()
        and -len(layers) <= int(name) < len(layers)
    ):
        name = layers[int(name)]
    return [name]


def gated_content(spec: FigureSpec, study: Study) -> GatedChannel:
    """The input and the channel's feature map before, between and after the gates.

    All feature maps share one scale: from 0, or symmetric about 0 where some values are negative.

    Raises:
        FigureError: if the features were not captured, or there is no such channel.
    """
    first = study.analyses[0][0]
    name = find_layer(first.attention, spec.layer or "-1").name
    layers = [row[0].attention[name] for row in study.analyses]
    channel = _channel(spec, layers[0])
    maps = [_feature_maps(layer, channel) for layer in layers]
    scale = _feature_scale([values for row in maps for _, values in row])
    rows: list[tuple[Place, ...]] = []
    for analyses, layer, found in zip(study.analyses, layers, maps, strict=True):
        rows.append(_row(analyses[0], layer, found, scale))
    columns = (Column("input"), *(Column("map", name) for _ in maps[0]))
    weights = tuple(float(channel_weights(layer)[channel]) for layer in layers)
    short = short_names(first.attention)[name]
    heads = _heads([head for head, _ in maps[0]], f"{short}, channel{NO_BREAK}{channel}", weights)
    labels = row_labels(spec, study)
    if len(weights) > 1:
        labels = tuple(
            f"{label}, weight {weight:.2f}" if label else f"weight {weight:.2f}"
            for label, weight in zip(labels, weights, strict=True)
        )
    return GatedChannel(name, channel, weights, Grid(columns, heads, tuple(rows), labels, scale))


def _channel(spec: FigureSpec, layer: LayerAttention) -> int:
    weights = channel_weights(layer)
    if spec.channel is None:
        return int(np.argmax(np.nan_to_num(weights, nan=-np.inf)))
    if spec.channel >= len(weights):
        raise FigureError(
            f"The layer {layer.name} has {len(weights)} channels, 0 to {len(weights) - 1}; "
            f"there is no channel {spec.channel}."
        )
    return spec.channel


def _feature_maps(layer: LayerAttention, channel: int) -> list[tuple[str, Floats]]:
    """Headings and maps (h, w) of one channel, in the order in which the network computes them."""
    features = layer.features
    if features is None or layer.cells is None:
        raise FigureError(
            f"The features of {layer.name} were not captured. Analyse the photos with "
            f"features=[{layer.name!r}]."
        )
    found = [("before its gates", features.before)]
    if features.between is not None:
        gate = "spatial gate" if layer.composition == "spatial then channel" else "channel gate"
        found.append((f"after {gate}", features.between))
        rest = "channel gate" if gate == "spatial gate" else "spatial gate"
        found.append((f"after {rest}", features.after))
    else:
        found.append(("after its gate", features.after))
    return [(head, tensor[0, channel].float().numpy()) for head, tensor in found]


def _feature_scale(maps: list[Floats]) -> Scale:
    found = shared_scale(maps)
    if found.low >= 0:
        return Scale("shared", 0.0, found.high)
    most = max(-found.low, found.high)
    return Scale("shared", -most, most)


def _row(
    analysis: Analysis, layer: LayerAttention, maps: list[tuple[str, Floats]], scale: Scale
) -> tuple[Place, ...]:
    assert layer.cells is not None
    cells = layer.cells
    return (
        Picture(analysis),
        *(MapPicture(analysis, layer.name, ((values, cells),), scale) for _, values in maps),
    )


def _heads(heads: list[str], channel: str, weights: tuple[float, ...]) -> tuple[str, ...]:
    first, *rest = heads
    named = [f"{channel}\n{first}"]
    for head in rest:
        gated = head == "after channel gate" and len(weights) == 1
        named.append(f"{head} (×{NO_BREAK}{weights[0]:.2f})" if gated else head)
    return ("Input", *named)
