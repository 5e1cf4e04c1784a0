"""Channel weights: a panel of bars for each layer."""

from __future__ import annotations

import numpy as np

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.layers import ByLayer
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.bars import draw_bars, ordered
from cbam_viz.figures.draw.panels import draw_panel_head, name_axis, plan_panels
from cbam_viz.figures.paper.sheet import PaperFigure


def draw(spec: FigureSpec, study: Study, content: ByLayer) -> PaperFigure:
    """A panel for each layer; with several photos their mean, and a band from lowest to highest."""
    plan = plan_panels(spec, [panel.head for panel in content.panels], content.axis)
    sheet = plan.style.sheet(plan.height)
    for index, (panel, rect) in enumerate(zip(content.panels, plan.rects(), strict=True)):
        rows = np.stack([ordered(row, spec.order) for row in panel.drawn])
        draw_bars(
            sheet, rect, rows, gid=f"panel {index + 1}", axis=content.axis,
            y_labels=rect.x == plan.margin, order=spec.order, channels=panel.channels,
        )  # fmt: skip
        draw_panel_head(sheet, plan, index, rect)
    name_axis(sheet, plan)
    return sheet.figure
