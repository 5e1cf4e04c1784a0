"""From a specification and analysed photos to a figure, and everything that goes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.formats import DEFAULT_DPI, FileFormat
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.compose import check_photos, check_store, content_of
from cbam_viz.figures.content.composition import Composition, Content, Fit
from cbam_viz.figures.content.evaluated import Evaluated
from cbam_viz.figures.content.values import Study, study_of
from cbam_viz.figures.draw.pictures import inside
from cbam_viz.figures.paper.output import render, save
from cbam_viz.figures.paper.settings import pinned_settings
from cbam_viz.figures.paper.sheet import PaperFigure, style_of
from cbam_viz.figures.paper.typesetting import MISSING
from cbam_viz.images import Photo
from cbam_viz.render import lookup_table


@dataclass(frozen=True)
class Built(Composition):
    """A figure with what it was made from."""

    figure: PaperFigure

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the figure should know about how it was drawn, in sentences."""
        missing = sorted(self.figure.missing_letters)
        if not missing:
            return ()
        listed = ", ".join(f"{letter} (U+{ord(letter):04X})" for letter in missing[:12])
        more = f" and {len(missing) - 12} more" if len(missing) > 12 else ""
        return (
            f"No installed font has {listed}{more}: {MISSING} is drawn instead. Install a font "
            "that has them (the Noto fonts have nearly all) and make the figure again.",
        )

    def render(self, file_format: FileFormat, *, dpi: float = DEFAULT_DPI) -> bytes:
        """The bytes of a file; see `cbam_viz.figures.render`."""
        return render(self.figure, file_format, dpi=dpi)

    def save(self, path: str | Path, *, dpi: float = DEFAULT_DPI, force: bool = False) -> Path:
        """Write a file; see `cbam_viz.figures.save`."""
        return save(self.figure, path, dpi=dpi, force=force)


def check(spec: FigureSpec, photos: int | Sequence[Photo], *, stores: int = 0) -> None:
    """Refuse what can be refused before any photo is analysed: give them, or how many they are.

    `stores` says how many stores the figure is made of, where it is made of some.

    Raises:
        FigureError: the text says what to change.
        RenderError: for a colour map that is none.
    """
    count = photos if isinstance(photos, int) else len(photos)
    if stores:
        check_store(spec, stores, count)
    else:
        check_photos(spec, count)
    style_of(spec)
    lookup_table(spec.colormap)
    if isinstance(photos, int):
        return
    for index, photo in enumerate(photos):
        row = spec.row(index)
        for region in (row.crop, *row.boxes):
            if region is not None:
                inside(region, photo)
        if row.zoom is not None:
            inside(row.zoom, photo, row.crop)


def build(
    spec: FigureSpec,
    analyses: Study | Evaluated | Analysis | Sequence[Analysis] | Sequence[Sequence[Analysis]],
) -> Built:
    """Draw the figure.

    `analyses` is one analysis, one for each photo, or for each photo one for each network. Columns
    such as `gradcam` take more: `figures.study(spec, networks, photos)` makes it. The layout
    `evaluation` takes what was measured (`figures.evaluated`).

    Raises:
        FigureError: if it cannot be made as asked; the text says what to change.
    """
    study: Any = analyses if isinstance(analyses, Evaluated) else study_of(analyses)
    content = content_of(spec, study)
    spec = content.settled(spec.with_(font=style_of(spec).font))
    with pinned_settings():
        drawn = _draw(spec, study, content)
    fit = Fit(
        drawn.channels_in_a_step,
        drawn.cells_without_lines,
        drawn.labels_left_out,
        drawn.ranges_left_out,
    )
    return Built(spec, study, content, fit, drawn)


def figure(
    spec: FigureSpec,
    analyses: Study | Evaluated | Analysis | Sequence[Analysis] | Sequence[Sequence[Analysis]],
) -> PaperFigure:
    """Draw the figure and return matplotlib's Figure alone; see `build`."""
    return build(spec, analyses).figure


def _draw(spec: FigureSpec, study: Study, content: Content) -> PaperFigure:
    module = import_module(f"cbam_viz.figures.draw.{spec.module}")
    drawn: PaperFigure = module.draw(spec, study, content)
    return drawn
