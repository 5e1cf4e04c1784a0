"""Lines between the cells of a map."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection

from cbam_viz.figures.content.values import MapPicture
from cbam_viz.figures.draw.pictures import Drawn
from cbam_viz.render import cell_edges

NARROWEST = 3.0
"""Points: between narrower cells there would be more line than cell."""

LINE, EDGE = 0.35, 0.9
"""Widths in points of a line, and of the dark one below it."""


def cell_lines(content: MapPicture) -> list[np.ndarray]:
    """Lines (2, 2) of x and y in pixels of the photo where two cells of the map meet."""
    geometry = content.analysis.geometry
    lines: list[np.ndarray] = []
    top, left, bottom, right = geometry.seen
    for values, cells in content.parts:
        edges = cell_edges(values.shape, cells, geometry)
        lines += [np.array([(left, at), (right, at)]) for at in edges.rows if top < at < bottom]
        lines += [np.array([(at, top), (at, bottom)]) for at in edges.columns if left < at < right]
    return lines


def draw_cell_lines(drawn: Drawn, content: MapPicture) -> bool:
    """Draw them as lines, sharp at any size; returns whether cells are wide enough for any."""
    lines = cell_lines(content)
    narrowest = _narrowest(drawn, content)
    if narrowest < NARROWEST:
        return False
    thin = min(1.0, narrowest / (6 * EDGE))
    for color, width, name in (("black", EDGE, "cells edge"), ("white", LINE, "cells")):
        drawn.axes.add_collection(
            LineCollection(
                lines,
                colors=color,
                linewidths=width * thin,
                linestyles="-",
                alpha=0.55 if color == "black" else 1.0,
                gid=f"{drawn.gid} {name}",
            ),
            autolim=False,
        )
    return True


def _narrowest(drawn: Drawn, content: MapPicture) -> float:
    """The shorter side of the smallest cell, in points."""
    geometry = content.analysis.geometry
    top, left, bottom, right = drawn.region
    down = drawn.rect.height / (bottom - top) * geometry.scale_y
    across = drawn.rect.width / (right - left) * geometry.scale_x
    return min(
        min(abs(cells.stride_y) * down, abs(cells.stride_x) * across) for _, cells in content.parts
    )
