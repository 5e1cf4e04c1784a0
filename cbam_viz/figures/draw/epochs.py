"""Maps by epoch: a grid whose rows are layers of photos."""

from __future__ import annotations

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.epochs import Epochs
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.grid import draw_grid
from cbam_viz.figures.paper.sheet import PaperFigure


def draw(spec: FigureSpec, study: Study, content: Epochs) -> PaperFigure:
    """Draw it as a grid of as many photos as there are rows."""
    rows = tuple(study.analyses[photo] for photo in content.photos)
    settings = tuple(spec.row(photo) for photo in content.photos)
    by_row = spec.with_(rows=settings)
    return draw_grid(by_row, Study(rows), content, what="Spatial attention")
