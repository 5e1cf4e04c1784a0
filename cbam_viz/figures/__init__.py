"""Figures that go into a paper as they are: exact widths, real text, stated scales.

Use it like this:

    spec = figures.FigureSpec(venue="cvpr", width="column")
    built = figures.build(spec, analyses)      # of cbam_viz.analyse, one for each photo
    built.figure                               # a matplotlib Figure
    built.save("figure.pdf")                   # the same bytes every time

The rooms, from the lowest: `ask` (what a figure shows, as a specification), `content` (the values
that are shown), `paper` (page, type, files), `draw` (layouts and their parts) and `beside`
(caption, tables, manifest), which does not draw. Only `paper`, `draw` and what uses them loads
matplotlib, so the names here are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbam_viz.figures.ask.columns import (
        Column,
        columns_from_text,
        format_column,
        parse_column,
    )
    from cbam_viz.figures.ask.formats import (
        DEFAULT_DPI,
        FORMATS,
        MIME_TYPES,
        FileFormat,
        format_of,
    )
    from cbam_viz.figures.ask.labels import classes_by_file, classes_by_folder
    from cbam_viz.figures.ask.spec import FigureSpec, Row
    from cbam_viz.figures.ask.venues import Venue, venue, venues
    from cbam_viz.figures.content.evaluated import Evaluated, evaluated
    from cbam_viz.figures.content.storestudy import StoreStudy, study_beside
    from cbam_viz.figures.content.study import study
    from cbam_viz.figures.content.values import Study
    from cbam_viz.figures.draw.compared import compared
    from cbam_viz.figures.draw.steps import steps
    from cbam_viz.figures.make import Built, build, check, figure
    from cbam_viz.figures.paper.output import render, save

__all__ = [
    "DEFAULT_DPI",
    "FORMATS",
    "MIME_TYPES",
    "Built",
    "Column",
    "Evaluated",
    "FigureSpec",
    "FileFormat",
    "Row",
    "StoreStudy",
    "Study",
    "Venue",
    "build",
    "check",
    "classes_by_file",
    "classes_by_folder",
    "columns_from_text",
    "compared",
    "evaluated",
    "figure",
    "format_column",
    "format_of",
    "parse_column",
    "render",
    "save",
    "steps",
    "study",
    "study_beside",
    "venue",
    "venues",
]

_HOMES = {
    "ask.columns": ("Column", "columns_from_text", "format_column", "parse_column"),
    "ask.formats": ("DEFAULT_DPI", "FORMATS", "MIME_TYPES", "FileFormat", "format_of"),
    "ask.labels": ("classes_by_file", "classes_by_folder"),
    "ask.spec": ("FigureSpec", "Row"),
    "ask.venues": ("Venue", "venue", "venues"),
    "make": ("Built", "build", "check", "figure"),
    "content.evaluated": ("Evaluated", "evaluated"),
    "content.storestudy": ("StoreStudy", "study_beside"),
    "content.study": ("study",),
    "content.values": ("Study",),
    "draw.compared": ("compared",),
    "draw.steps": ("steps",),
    "paper.output": ("render", "save"),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
