"""Where things are in a network's attention: layers, stages, their maps and weights."""

from __future__ import annotations

import numpy as np

from cbam_viz.analysis import Analysis
from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import Floats, Study
from cbam_viz.layer_names import find_name, no_such_layer
from cbam_viz.layer_names import find_stage as named_stage


def find_layer(attention: Attention, name: str) -> LayerAttention:
    """A layer by name, by its place in the order of execution (`0`, `-1`), or by its title.

    Raises:
        FigureError: if there is none; the text gives near names.
    """
    names = list(attention)
    found = find_name(attention, name)
    if found is not None:
        return attention[found]
    if not names:
        raise FigureError(
            "This network has no attention layers. Of it a figure can show the input, class, "
            "probability and prediction."
        )
    raise FigureError(no_such_layer(names, name))


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
    found = named_stage(attention.values(), name)
    if found is None:
        raise FigureError(f"The network has no stage {name!r}. It has {', '.join(known)}.")
    return known[found]


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


def top_class(analysis: Analysis) -> str:
    """The predicted class; empty where the network classifies nothing."""
    return analysis.predictions[0].label if analysis.predictions else ""


def last_channel_layer(study: Study) -> str:
    """The first network's last layer that gates channels.

    Raises:
        FigureError: if none does.
    """
    attention = study.analyses[0][0].attention
    names = [layer.name for layer in attention.values() if layer.channel is not None]
    if not names:
        raise FigureError("The network has no layer with channel weights.")
    return str(names[-1])


def settled_layers(spec: FigureSpec, names: tuple[str, ...]) -> FigureSpec:
    """The specification with these layers, where one is the rule."""
    if len(names) == 1:
        return spec.with_(layer=names[0])
    return spec.with_(layer=None, layers=names)
