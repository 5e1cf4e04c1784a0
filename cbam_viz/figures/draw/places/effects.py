"""What each gate does for a class, as bars about 0 in a grid."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from cbam_viz.figures.content.values import EffectBars
from cbam_viz.figures.draw.bars import FILL, bars_margin, draw_frame
from cbam_viz.figures.draw.places.bars import least_height as least_height  # noqa: PLC0414
from cbam_viz.figures.draw.places.bars import text_height as text_height  # noqa: PLC0414
from cbam_viz.figures.draw.places.bars import whole as whole  # noqa: PLC0414
from cbam_viz.figures.draw.places.drawing import Drawing, Spot
from cbam_viz.figures.draw.places.pictures import foot as foot  # noqa: PLC0414
from cbam_viz.figures.draw.plan import ColumnRoom
from cbam_viz.figures.paper.sheet import Sheet

is_picture = False

LIGHT = "#e8a33d"
"""Of spatial maps: paler than the bars of channel weights in grey print too."""
_WIDE = 0.84
"""Share of its step that a bar fills."""


def room(drawing: Drawing, column: int, width: float) -> ColumnRoom:
    """As wide as a picture, with room for the axis at the left."""
    ends = [place.axis for place in drawing.column(column) if isinstance(place, EffectBars)]
    return ColumnRoom(margin=bars_margin(drawing.style, ends[0]))


def draw(sheet: Sheet, drawing: Drawing, place: EffectBars, spot: Spot) -> None:
    """A bar for each gate: dark for channel weights, light for a spatial map."""
    axes = sheet.axes(spot.rect, f"{spot.gid} axes")
    for number, one in enumerate(place.effects):
        if np.isfinite(one.change):
            axes.add_patch(
                Rectangle(
                    (number + (1 - _WIDE) / 2, min(0.0, one.change)),
                    _WIDE,
                    abs(one.change),
                    facecolor=FILL if one.kind == "channel" else LIGHT,
                    edgecolor="none",
                    linewidth=0,
                    gid=f"{spot.gid} effect {number + 1}",
                )
            )
    axes.set_xlim(0, max(1, len(place.effects)))
    axes.set_ylim(*place.axis)
    draw_frame(sheet, spot.rect, place.axis)
