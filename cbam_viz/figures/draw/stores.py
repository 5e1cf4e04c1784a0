"""Two stores: a line of cells for each gate."""

from cbam_viz.figures.draw.tables import draw

__all__ = ["draw"]
