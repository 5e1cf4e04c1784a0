"""The mean of a stage's spatial maps: `stage:STAGE`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.find import find_stage, spatial_map
from cbam_viz.figures.content.values import Floats, MapPicture, Place
from cbam_viz.render import absolute_scale

of_a_network = True


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return column


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    return [_place(column.name or "", analysis) for analysis in analyses]


def _place(stage: str, analysis: Analysis) -> MapPicture:
    layers = find_stage(analysis.attention, stage)
    maps = [spatial_map(layer) for layer in layers if layer.spatial is not None]
    if not maps:
        spatial_map(layers[0])  # says why there is none
    parts = tuple(maps)
    if all(m.shape == maps[0][0].shape and cells == maps[0][1] for m, cells in maps):
        mean: Floats = np.stack([m for m, _ in maps]).mean(axis=0, dtype=np.float32)
        parts = ((mean, maps[0][1]),)
    return MapPicture(analysis, stage, parts, absolute_scale())


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return f"{column.name} (mean)"


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return f"mean of the spatial maps of stage {column.name}"
