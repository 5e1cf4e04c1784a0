"""Photos of a store in order: a grid."""

from __future__ import annotations

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.stores.ranked import RankedPhotos
from cbam_viz.figures.content.storestudy import StoreStudy
from cbam_viz.figures.draw.grid import draw_grid
from cbam_viz.figures.paper.sheet import PaperFigure


def draw(spec: FigureSpec, study: StoreStudy, content: RankedPhotos) -> PaperFigure:
    """Draw it like any grid."""
    shown = study.with_analyses([one.seen.analysis for one in content.listed])
    return draw_grid(spec, shown, content.grid, what="Spatial attention")
