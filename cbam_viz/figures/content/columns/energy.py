"""How strong a layer's features are, before and after its gates: `energy:LAYER:before`.

The energy of a cell is the mean of its features' absolute values over all channels. Before and
after share a scale from 0 to the highest in any photo, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cbam_viz.analysis import Analysis
from cbam_viz.attention import LayerAttention
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.find import find_layer
from cbam_viz.figures.content.values import Floats, MapPicture, Place
from cbam_viz.layer_names import short_names
from cbam_viz.render import Scale

of_a_network = True

QUANTITY = "mean absolute feature"


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    layer = find_layer(analysis.attention, column.layer).name
    return replace(column, name=f"{layer}:{column.place}")


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    layers = [find_layer(analysis.attention, column.layer) for analysis in analyses]
    both = [(_energy(layer, "before"), _energy(layer, "after")) for layer in layers]
    high = max(float(one[np.isfinite(one)].max(initial=0.0)) for pair in both for one in pair)
    scale = Scale("shared", 0.0, high)
    found: list[Place] = []
    for analysis, layer, pair in zip(analyses, layers, both, strict=True):
        assert layer.cells is not None
        values = pair[column.place == "after"]
        name = f"{layer.name}:{column.place}"
        found.append(MapPicture(analysis, name, ((values, layer.cells),), scale, QUANTITY))
    return found


def _energy(layer: LayerAttention, place: str) -> Floats:
    """(h, w): the mean over channels of absolute features, of the first image."""
    if layer.features is None or layer.cells is None:
        raise FigureError(
            f"The features of {layer.name} were not captured. Analyse the photos with "
            f"features=[{layer.module!r}]."
        )
    features = layer.features.before if place == "before" else layer.features.after
    energy: Floats = features[0].float().abs().mean(dim=0).numpy()
    return energy


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return f"{short_names(analysis.attention)[column.layer]} features {column.place} gates"


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return f"{QUANTITY} of {column.layer} {column.place} its gates"
