"""Channel weights of layers: each layer's, over all photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import channel_weights, find_layer
from cbam_viz.figures.content.sentences import (
    axes_sentence,
    channels_sentence,
    joined_sentence,
    left_out_sentence,
    order_words,
)
from cbam_viz.figures.content.values import Axis, Floats, Shown, Study, axis_of, drawn_channels
from cbam_viz.layer_names import short_names


@dataclass(frozen=True)
class LayerWeights:
    """One layer's channel weights over all photos."""

    layer: str
    head: str
    weights: Floats
    """(photos, C), by index."""
    channels: npt.NDArray[np.intp]
    """Those that are drawn, by index."""

    @property
    def drawn(self) -> Floats:
        """(photos, channels): what is drawn."""
        return self.weights[:, self.channels]


@dataclass(frozen=True)
class ByLayer:
    """Layers in order of execution, or as they were asked for."""

    panels: tuple[LayerWeights, ...]

    map_scale = None
    predicted = ()

    @property
    def axis(self) -> Axis:
        """Of all panels."""
        return axis_of(panel.drawn for panel in self.panels)

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(panel.layer for panel in self.panels)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return spec.with_(layers=self.layers)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        network = study.networks[0]
        for number, panel in enumerate(self.panels):
            for photo, weights in zip(study.photos, panel.weights, strict=True):
                place = f"panel {number + 1}"
                yield Shown(place, photo, network, "channel weights", panel.layer, weights)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        study = figure.study
        photos = len(study.analyses)
        many = f": mean (line) and lowest to highest value (band) over {photos} photos"
        return [
            f"Channel weights of {len(self.panels)} layers of {study.networks[0]}, "
            + order_words(figure.spec)
            + (many if photos > 1 else ""),
            channels_sentence(figure.spec),
            axes_sentence(self.axis),
            joined_sentence(figure, photos),
            left_out_sentence([panel.drawn for panel in self.panels]),
        ]


def content(spec: FigureSpec, study: Study) -> ByLayer:
    """Weights of all layers, or of those named, that gate channels.

    Raises:
        FigureError: if none does.
    """
    attention = study.analyses[0][0].attention
    chosen = [find_layer(attention, name) for name in spec.named_layers or attention]
    layers = [layer for layer in chosen if layer.channel is not None]
    if not layers:
        raise FigureError(
            "None of these layers has channel weights. Use the layout 'depth' to show their maps."
        )
    short = short_names(attention)
    panels = []
    for name in [layer.name for layer in layers]:
        rows = [channel_weights(row[0].attention[name]) for row in study.analyses]
        weights = np.stack(rows)
        channels = np.sort(drawn_channels(spec, weights.mean(axis=0)))
        panels.append(LayerWeights(name, short[name], weights, channels))
    return ByLayer(tuple(panels))
