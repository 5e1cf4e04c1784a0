"""The content of a figure: each layout's is computed by the module that the registry names."""

from __future__ import annotations

from importlib import import_module

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.registry import LAYOUTS
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Content
from cbam_viz.figures.content.curves import check_classes
from cbam_viz.figures.content.evaluated import Evaluated
from cbam_viz.figures.content.made import check_made
from cbam_viz.figures.content.values import Study


def content_of(spec: FigureSpec, study: Study | Evaluated) -> Content:
    """The values that a figure will show.

    Raises:
        FigureError: if the photos or networks do not have what the figure asks for.
    """
    if isinstance(study, Evaluated) == LAYOUTS[spec.layout].of_photos:
        raise FigureError(
            "The layout 'evaluation' shows what cbam-viz evaluate measured (figures.evaluated), "
            "and no other layout does."
        )
    check_photos(spec, len(study.analyses))
    module = import_module(f"cbam_viz.figures.content.{spec.module}")
    content: Content = module.content(spec, study)
    return content


def check_photos(spec: FigureSpec, count: int) -> None:
    """Refuse what cannot be shown, such as more photos; for use before they are analysed.

    Raises:
        FigureError: the text says what to change.
    """
    check_made(spec)
    labelled = {spec.row(index).group for index in range(count)}
    if spec.variant == "curves" and None not in labelled:
        check_classes(len(labelled))
    most = LAYOUTS[spec.layout].most_photos
    if most is None or count <= most:
        return
    if most == 1:
        raise FigureError(
            f"A strip through the layers shows one photo; there are {count}. "
            "Give one, or use the layout 'grid'."
        )
    raise FigureError(f"A figure of {count} photos cannot be read; the most is {most}.")
