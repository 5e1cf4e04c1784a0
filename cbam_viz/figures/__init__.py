"""Figures that go into a paper as they are: exact widths, real text, stated scales.

Use it like this:

    spec = figures.FigureSpec(venue="cvpr", width="column")
    built = figures.build(spec, analyses)      # of cbam_viz.analyse, one for each photo
    built.figure                               # a matplotlib Figure
    built.save("figure.pdf")                   # the same bytes every time
"""

from cbam_viz.figures.ask.spec import Column, FigureSpec, Row, format_column, parse_column
from cbam_viz.figures.ask.venues import Venue, venue, venues
from cbam_viz.figures.build import Built, build, figure
from cbam_viz.figures.content.values import Study, columns_from_text
from cbam_viz.figures.draw.steps import steps
from cbam_viz.figures.paper.output import (
    DEFAULT_DPI,
    FORMATS,
    MIME_TYPES,
    FileFormat,
    format_of,
    render,
    save,
)

__all__ = [
    "DEFAULT_DPI",
    "FORMATS",
    "MIME_TYPES",
    "Built",
    "Column",
    "FigureSpec",
    "FileFormat",
    "Row",
    "Study",
    "Venue",
    "build",
    "columns_from_text",
    "figure",
    "format_column",
    "format_of",
    "parse_column",
    "render",
    "save",
    "steps",
    "venue",
    "venues",
]
