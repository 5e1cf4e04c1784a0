"""A layer's channel weights as bars: `channels:LAYER`."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.columns.map import settled as settled  # noqa: PLC0414
from cbam_viz.figures.content.find import channel_weights, find_layer
from cbam_viz.figures.content.values import Bars, Place
from cbam_viz.layer_names import short_names

of_a_network = True


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    return [_place(column.name or "", analysis) for analysis in analyses]


def _place(name: str, analysis: Analysis) -> Bars:
    layer = find_layer(analysis.attention, name)
    return Bars(analysis, layer.name, channel_weights(layer))


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return f"{short_names(analysis.attention)[column.name or '']} channels"


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return f"channel weights of {column.name}"
