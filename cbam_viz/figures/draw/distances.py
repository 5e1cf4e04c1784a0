"""Distances between classes: a square of cells for each layer."""

from cbam_viz.figures.draw.tables import draw

__all__ = ["draw"]
