"""One channel before and after its gates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cbam_viz.analysis import Analysis
from cbam_viz.attention import LayerAttention
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import channel_weights, find_layer, settled_layers
from cbam_viz.figures.content.grid import Grid, row_labels
from cbam_viz.figures.content.sentences import nan_sentence, picture_sentences, range_sentence
from cbam_viz.figures.content.values import Floats, MapPicture, Picture, Place, Shown, Study
from cbam_viz.figures.wording import NO_BREAK
from cbam_viz.layer_names import short_names
from cbam_viz.render import Colormap, Scale, shared_scale

SIGNED_COLORMAP: Colormap = "diverging"
"""Of features below and above 0, whatever the figure asks for."""


@dataclass(frozen=True)
class LayerChannel:
    """One channel of one layer."""

    layer: str
    channel: int
    weights: tuple[float, ...]
    """The channel's weight in each photo."""


@dataclass(frozen=True)
class GatedChannel:
    """What one channel's figure shows: of each layer asked for, one."""

    gated: tuple[LayerChannel, ...]
    grid: Grid

    predicted = ()

    @property
    def layer(self) -> str:
        """The first layer."""
        return self.gated[0].layer

    @property
    def channel(self) -> int:
        """The first layer's channel."""
        return self.gated[0].channel

    @property
    def weights(self) -> tuple[float, ...]:
        """Of that channel, in each photo."""
        return self.gated[0].weights

    @property
    def map_scale(self) -> Scale | None:
        """See `Content`."""
        return self.grid.scale

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(one.layer for one in self.gated)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        signed = self.grid.scale is not None and self.grid.scale.low < 0
        return settled_layers(spec, self.layers).with_(
            channel=self.channel if len(self.gated) == 1 else spec.channel,
            scale="shared",
            style="map",
            colormap=SIGNED_COLORMAP if signed else spec.colormap,
        )

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        return self.grid.shown(study)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        grid = self.grid
        of = f" of {figure.study.networks[0]} before and after its gates"
        told = " and ".join(
            f"channel {one.channel} of layer {one.layer}{of if n == 0 else ' likewise'} (channel "
            f"weight {', '.join(f'{weight:.2f}' for weight in one.weights)})"
            for n, one in enumerate(self.gated)
        )
        return [
            told[0].upper() + told[1:],
            range_sentence(
                f"All feature maps share one scale ({figure.spec.colormap})", grid.scale
            ),
            nan_sentence([part for one in grid.maps for part in one.values]),
            *picture_sentences(figure, grid.pictures, len(grid.rows)),
        ]


def content(spec: FigureSpec, study: Study) -> GatedChannel:
    """The input and a channel's feature map before, between and after the gates, of each layer.

    All feature maps share one scale: from 0, or symmetric about 0 where some values are negative.

    Raises:
        FigureError: if the features were not captured, or there is no such channel.
    """
    first = study.analyses[0][0]
    wanted = [find_layer(first.attention, name).name for name in spec.named_layers or ("-1",)]
    gated: list[LayerChannel] = []
    columns, heads = [Column("input")], ["Input"]
    maps: list[list[tuple[LayerAttention, Floats]]] = [[] for _ in study.analyses]
    for name in dict.fromkeys(wanted):
        layers = [row[0].attention[name] for row in study.analyses]
        channel = _channel(spec, layers[0])
        weights = tuple(float(channel_weights(layer)[channel]) for layer in layers)
        gated.append(LayerChannel(name, channel, weights))
        found = [_feature_maps(layer, channel) for layer in layers]
        columns += [Column("map", name) for _ in found[0]]
        short = f"{short_names(first.attention)[name]}, channel{NO_BREAK}{channel}"
        heads += _heads([head for head, _ in found[0]], short, weights)
        for row, layer, own in zip(maps, layers, found, strict=True):
            row += [(layer, values) for _, values in own]
    scale = _feature_scale([values for row in maps for _, values in row])
    rows = tuple(
        _row(analyses[0], row, scale) for analyses, row in zip(study.analyses, maps, strict=True)
    )
    labels = _labels(row_labels(spec, study), gated)
    return GatedChannel(tuple(gated), Grid(tuple(columns), tuple(heads), rows, labels, scale))


def _labels(labels: tuple[str, ...], gated: list[LayerChannel]) -> tuple[str, ...]:
    """With each photo's weights, where there are several photos."""
    told = [
        "weight " + ", ".join(f"{weight:.2f}" for weight in weights)
        for weights in zip(*(one.weights for one in gated), strict=True)
    ]
    if len(told) == 1:
        return labels
    return tuple(
        f"{label}, {weights}" if label else weights
        for label, weights in zip(labels, told, strict=True)
    )


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
    analysis: Analysis, maps: list[tuple[LayerAttention, Floats]], scale: Scale
) -> tuple[Place, ...]:
    row: list[Place] = [Picture(analysis)]
    for layer, values in maps:
        assert layer.cells is not None
        row.append(MapPicture(analysis, layer.name, ((values, layer.cells),), scale))
    return tuple(row)


def _heads(heads: list[str], channel: str, weights: tuple[float, ...]) -> list[str]:
    first, *rest = heads
    named = [f"{channel}\n{first}"]
    for head in rest:
        gated = head == "after channel gate" and len(weights) == 1
        named.append(f"{head} (×{NO_BREAK}{weights[0]:.2f})" if gated else head)
    return named
