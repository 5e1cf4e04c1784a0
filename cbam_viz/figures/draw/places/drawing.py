"""What the drawing of a grid's places needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.grid import Grid
from cbam_viz.figures.content.values import Axis, Place, Study, axis_of
from cbam_viz.figures.draw.legend import Legend, legend_of
from cbam_viz.figures.draw.pictures import Rasters
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Style
from cbam_viz.figures.wording import NO_BREAK, letter


@dataclass(frozen=True)
class Drawing:
    """What all steps of the drawing need."""

    spec: FigureSpec
    study: Study
    grid: Grid
    style: Style
    what: str
    """What the values of maps are, at the colour bar."""
    rasters: Rasters

    @cached_property
    def legend(self) -> Legend | None:
        """The colour bar; None where there are no maps, or all have a scale that they print."""
        if self.grid.gates:
            return legend_of(self.style, self.what, self.grid.scale, self.spec.colormap)
        titles = {one.quantity for one in self.grid.methods}
        if not titles:
            return None
        what = titles.pop() if len(titles) == 1 else "Maps"
        lowest = "0" if all(one.scale.low == 0 for one in self.grid.methods) else "0 or lowest"
        return legend_of(self.style, what, None, self.spec.colormap, lowest=lowest)

    @cached_property
    def axis(self) -> Axis:
        """Of all bars."""
        return axis_of(one.weights for one in self.grid.bars)

    def head(self, index: int) -> str:
        """A column's heading."""
        head = self.grid.heads[index] if self.spec.heads else ""
        if self.spec.letters == "columns":
            return f"{letter(index)}{NO_BREAK}{head}" if head else letter(index)
        return head

    def over(self, index: int) -> str:
        """What stands above a column's heading for it alone; empty if nothing does."""
        levels = self.grid.over if self.spec.heads else ()
        alone = [one.text for level in levels for one in level if one.first == one.last == index]
        return "\n".join(alone)

    def column(self, index: int) -> list[Place]:
        """A column's places."""
        return [row[index] for row in self.grid.rows]


@dataclass(frozen=True)
class Spot:
    """Where a place is drawn."""

    rect: Rect
    gid: str
    row: int
    number: int
    """How many pictures come before it."""
    last: bool
    """Whether it is in the last row of its block."""
