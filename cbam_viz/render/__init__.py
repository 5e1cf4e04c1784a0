"""Maps onto photos: placement, honest scales, colours, overlays, level lines, encoding.

Takes NumPy arrays; knows neither networks nor hooks.
"""

from cbam_viz.render.cells import (
    CELL_STYLES,
    CellEdges,
    CellStyle,
    cell_edges,
    draw_grid,
    method_of,
)
from cbam_viz.render.cellwise import frame_cell, framed, grid
from cbam_viz.render.colormaps import (
    COLORMAPS,
    DEFAULT_COLORMAP,
    Colormap,
    color_of,
    colorize,
    lookup_table,
)
from cbam_viz.render.contours import contour_levels, contours
from cbam_viz.render.encode import MIME_TYPES, ImageFormat, describe_png, encode
from cbam_viz.render.legend import colorbar, strip
from cbam_viz.render.overlay import (
    DEFAULT_OPACITY,
    fit_size,
    hatch_unseen,
    overlay,
    resize_photo,
)
from cbam_viz.render.placement import METHODS, Method, Placed, place
from cbam_viz.render.scale import (
    SCALE_KINDS,
    Scale,
    ScaleKind,
    absolute_scale,
    gate_scale,
    make_scale,
    map_scale,
    shared_scale,
)

__all__ = [
    "CELL_STYLES",
    "COLORMAPS",
    "DEFAULT_COLORMAP",
    "DEFAULT_OPACITY",
    "METHODS",
    "MIME_TYPES",
    "SCALE_KINDS",
    "CellEdges",
    "CellStyle",
    "Colormap",
    "ImageFormat",
    "Method",
    "Placed",
    "Scale",
    "ScaleKind",
    "absolute_scale",
    "cell_edges",
    "color_of",
    "colorbar",
    "colorize",
    "contour_levels",
    "contours",
    "describe_png",
    "draw_grid",
    "encode",
    "fit_size",
    "frame_cell",
    "framed",
    "gate_scale",
    "grid",
    "hatch_unseen",
    "lookup_table",
    "make_scale",
    "map_scale",
    "method_of",
    "overlay",
    "place",
    "resize_photo",
    "shared_scale",
    "strip",
]
