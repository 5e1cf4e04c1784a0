"""The tree of a clustering, at the right of the rows that it orders."""

from __future__ import annotations

from matplotlib.collections import LineCollection

from cbam_viz.dataset.clustering import Clusters
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import HAIRLINE, Sheet

_SHARE, _MOST = 0.12, 42.0
"""Of the figure's width, and points."""
_GAP = 3.0
INK = "0.25"


def tree_room(width: float) -> float:
    """Points that a tree takes in a figure of that width."""
    return min(_SHARE * width, _MOST)


def draw_tree(sheet: Sheet, tree: Clusters, rows: Rect, room: float, gid: str) -> None:
    """Draw it beside the rows: branches meet the further right, the further apart they are."""
    rect = Rect(rows.right + _GAP, rows.y, room - _GAP, rows.height)
    axes = sheet.axes(rect, f"{gid} axes")
    lines = []
    for merge in tree.merges:
        first, second = merge.first + 0.5, merge.second + 0.5
        corners = [(merge.height, first), (merge.height, second)]
        lines.append([(merge.first_height, first), *corners, (merge.second_height, second)])
    drawn = LineCollection(lines, colors=INK, linewidths=1.5 * HAIRLINE, capstyle="butt")
    drawn.set_gid(gid)
    axes.add_collection(drawn, autolim=False)
    highest = max((merge.height for merge in tree.merges), default=0.0)
    axes.set_xlim(0, highest * 1.02 or 1.0)
    axes.set_ylim(len(tree.order), 0)
