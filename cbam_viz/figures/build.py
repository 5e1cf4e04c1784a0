"""From a specification and analysed photos to a figure, and everything that goes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cbam_viz.analysis import Analysis
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.gated import GatedChannel, gated_content
from cbam_viz.figures.content.values import Grid, Study, grid_content, study_of
from cbam_viz.figures.draw.channels import (
    ByClass,
    by_class,
    by_layer,
    draw_by_class,
    draw_by_layer,
)
from cbam_viz.figures.draw.depth import Strip, depth_content, draw_depth
from cbam_viz.figures.draw.grid import draw_grid
from cbam_viz.figures.paper.output import DEFAULT_DPI, FileFormat, render, save
from cbam_viz.figures.paper.settings import pinned_settings
from cbam_viz.figures.paper.sheet import PaperFigure
from cbam_viz.figures.paper.typesetting import MISSING
from cbam_viz.figures.settled import Content, settled

MAX_PHOTOS = 64


@dataclass(frozen=True)
class Built:
    """A figure with what it was made from."""

    spec: FigureSpec
    """As drawn: what was left open is filled in, so that the same figure comes out of it."""
    study: Study
    content: Content
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


def content_of(spec: FigureSpec, study: Study) -> Content:
    """The values that the figure will show.

    Raises:
        FigureError: if the photos or networks do not have what the figure asks for.
    """
    if len(study.analyses) > MAX_PHOTOS:
        raise FigureError(
            f"A figure of {len(study.analyses)} photos cannot be read; the most is {MAX_PHOTOS}."
        )
    if spec.layout == "grid":
        return grid_content(spec, study)
    if spec.layout == "depth":
        return depth_content(spec, study)
    if spec.layout == "channel":
        return gated_content(spec, study)
    return by_layer(spec, study) if spec.by == "layer" else by_class(spec, study)


def build(
    spec: FigureSpec,
    analyses: Study | Analysis | Sequence[Analysis] | Sequence[Sequence[Analysis]],
) -> Built:
    """Draw the figure.

    `analyses` is one analysis, one for each photo, or for each photo one for each network.

    Raises:
        FigureError: if it cannot be made as asked; the text says what to change.
    """
    study = study_of(analyses)
    content = content_of(spec, study)
    spec = settled(spec, content)
    with pinned_settings():
        drawn = _draw(spec, study, content)
    return Built(spec, study, content, drawn)


def figure(
    spec: FigureSpec,
    analyses: Study | Analysis | Sequence[Analysis] | Sequence[Sequence[Analysis]],
) -> PaperFigure:
    """Draw the figure and return matplotlib's Figure alone; see `build`."""
    return build(spec, analyses).figure


def _draw(spec: FigureSpec, study: Study, content: Content) -> PaperFigure:
    if isinstance(content, Grid):
        return draw_grid(spec, study, content)
    if isinstance(content, Strip):
        return draw_depth(spec, content)
    if isinstance(content, GatedChannel):
        return draw_grid(spec, study, content.grid, what="Feature value")
    if isinstance(content, ByClass):
        return draw_by_class(spec, content)
    return draw_by_layer(spec, content)
