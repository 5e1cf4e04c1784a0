"""The columns of a grid: a module for each kind, which has the functions of `Answer`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.registry import COLUMNS
from cbam_viz.figures.content.values import Place


class Answer(Protocol):
    """What a column's module has."""

    of_a_network: bool
    """Whether it shows what a network made of the photo, and so has its name beside others."""

    def settled(self, column: Column, analysis: Analysis) -> Column:
        """The column with its layer by name, of the first photo. Raises FigureError."""

    def places(self, column: Column, analyses: Sequence[Analysis]) -> list[Place]:
        """What it shows of each photo; maps get their scale from the figure. Raises FigureError."""

    def head(self, column: Column, analysis: Analysis) -> str:
        """Its usual heading."""

    def words(self, column: Column, analysis: Analysis) -> str:
        """What it shows, for a caption."""


def answer(column: Column) -> Answer:
    """The module that answers a column."""
    name = COLUMNS[column.kind].module
    return cast(Answer, import_module(f"cbam_viz.figures.content.columns.{name}"))
