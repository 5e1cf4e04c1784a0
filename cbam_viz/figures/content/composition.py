"""A figure as values: what its drawing, tables, caption and manifest are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import Shown, Study
from cbam_viz.render import Scale


@dataclass(frozen=True)
class Fit:
    """What the page's size made of what was asked for."""

    channels_in_a_step: int = 1
    """How many neighbouring channels a bar stands for at most."""
    cells_without_lines: bool = False
    """Whether cells of a map are too narrow for the lines that were asked for."""
    labels_left_out: bool = False
    """Whether labels of what was found had no room."""
    ranges_left_out: bool = False
    """Whether maps are too small for the ends of their scales, which the table has."""


class Content(Protocol):
    """The values of one layout, and what they say of themselves."""

    @property
    def map_scale(self) -> Scale | None:
        """The one scale of all maps; None if each has its own, or there are none."""

    @property
    def predicted(self) -> tuple[int, ...]:
        """Networks, from 0, whose prediction is shown."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers and stages that are shown, by name."""

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """The specification with what it left open filled in, so that the same comes out of it."""

    def shown(self, study: Study) -> Iterator[Shown]:
        """Everything that is shown as colour, bar or text, in reading order."""

    def sentences(self, figure: Composition) -> list[str]:
        """What the figure shows and how it is scaled, for its caption; empty ones are left out."""


@dataclass(frozen=True)
class Composition:
    """A figure with what it was made from."""

    spec: FigureSpec
    """As drawn: what was left open is filled in, so that the same figure comes out of it."""
    study: Study
    content: Any
    """A `Content`; which one, the specification's layout decides."""
    fit: Fit
