"""One channel before and after its gates: a grid of feature maps."""

from __future__ import annotations

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.gated import GatedChannel
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.grid import draw_grid
from cbam_viz.figures.paper.sheet import PaperFigure


def draw(spec: FigureSpec, study: Study, content: GatedChannel) -> PaperFigure:
    """Draw it like any grid."""
    return draw_grid(spec, study, content.grid, what="Feature value")
