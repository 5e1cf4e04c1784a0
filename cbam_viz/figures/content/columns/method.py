"""What another method makes of a layer: `gradcam:LAYER@CLASS` and its kin, `occlusion`, `whole`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.registry import COLUMNS
from cbam_viz.figures.content.made import made_for
from cbam_viz.figures.content.values import MapPicture, Place
from cbam_viz.methods import METHODS, MethodMap
from cbam_viz.render import Scale

of_a_network = True


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return replace(column, name=made_for(column, analysis).layer)


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`. Each map has its own scale: the values have no fixed range."""
    found: list[Place] = []
    for analysis in analyses:
        made = made_for(column, analysis)
        one = made.found
        assert isinstance(one, MethodMap)
        parts = ((one.values, one.cells),)
        title = METHODS[one.method].title
        scale = Scale("per map", *_ends(one))
        found.append(MapPicture(analysis, one.layer, parts, scale, title, made.target))
    return found


def _ends(one: MethodMap) -> tuple[float, float]:
    """A map that is the same everywhere says so."""
    return (float(one.values.flat[0]),) * 2 if one.is_flat else one.span


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    title = METHODS[column.kind].title
    if column.name is None:
        return title
    # The whole name: without the ending that attention layers share, it would be another module's.
    return f"{title} of {column.name}"


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    made = made_for(column, analysis)
    assert isinstance(made.found, MethodMap)
    title = METHODS[column.kind].title
    return f"{title} of {made.found.of}" if COLUMNS[column.kind].takes else title
