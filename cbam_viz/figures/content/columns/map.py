"""A layer's spatial map: `map:LAYER`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.find import find_layer, spatial_map
from cbam_viz.figures.content.values import MapPicture, Place
from cbam_viz.layer_names import short_names
from cbam_viz.render import absolute_scale

of_a_network = True


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return replace(column, name=find_layer(analysis.attention, column.name or "").name)


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    return [_place(column.name or "", analysis) for analysis in analyses]


def _place(name: str, analysis: Analysis) -> MapPicture:
    layer = find_layer(analysis.attention, name)
    return MapPicture(analysis, layer.name, (spatial_map(layer),), absolute_scale())


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return short_names(analysis.attention)[column.name or ""]


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return f"spatial map of {column.name}"
