"""The photo itself: `input`."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.values import Picture, Place

of_a_network = False


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return column


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    return [Picture(analysis) for analysis in analyses]


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return "Input"


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return "the input"
