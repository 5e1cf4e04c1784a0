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
from cbam_viz.figures.content.storestudy import StoreStudy
from cbam_viz.figures.content.values import Study


def content_of(spec: FigureSpec, study: Study | Evaluated) -> Content:
    """The values that a figure will show.

    Raises:
        FigureError: if the photos or networks do not have what the figure asks for.
    """
    content: Content = import_module(_checked_module(spec, study)).content(spec, study)
    return content


def _checked_module(spec: FigureSpec, study: Study | Evaluated) -> str:
    """Where the content of what there is is computed; refuses what it cannot be made of."""
    package = "cbam_viz.figures.content"
    if isinstance(study, Evaluated) != ("evaluation" in LAYOUTS[spec.layout].of):
        raise FigureError(
            "The layout 'evaluation' shows what cbam-viz evaluate measured (figures.evaluated), "
            "and no other layout does."
        )
    if isinstance(study, StoreStudy):
        check_store(spec, len(study.stores), len(study.analyses))
        package += ".stores"
    elif isinstance(study, Study):
        check_photos(spec, len(study.analyses))
    return f"{package}.{spec.module}"


def check_store(spec: FigureSpec, stores: int, photos: int = 0) -> None:
    """Refuse what cannot be made of so many stores and photos beside them; before any is read.

    Raises:
        FigureError: the text says what to change.
    """
    layout = LAYOUTS[spec.layout]
    if "store" not in layout.of or spec.variant == "layer":
        known = ", ".join(name for name, one in LAYOUTS.items() if "store" in one.of)
        what = "channels by layer" if spec.variant == "layer" else spec.layout
        raise FigureError(
            f"The layout {what!r} is of photos. Of a store there are: {known} (channels by class)."
        )
    if stores != layout.stores:
        wanted = "two stores" if layout.stores == 2 else "one store"
        raise FigureError(f"The layout {spec.layout!r} takes {wanted}; there are {stores}.")
    if (photos != 1) if spec.layout == "against" else photos:
        wanted = "one photo beside its store" if spec.layout == "against" else "no photos beside it"
        raise FigureError(f"The layout {spec.layout!r} takes {wanted}; there are {photos}.")


def check_photos(spec: FigureSpec, count: int) -> None:
    """Refuse what cannot be shown, such as more photos; for use before they are analysed.

    Raises:
        FigureError: the text says what to change.
    """
    check_made(spec)
    if "photos" not in LAYOUTS[spec.layout].of:
        raise FigureError(
            f"The layout {spec.layout!r} is of a store of many photos: give one, which cbam-viz "
            "batch makes (--store STORE)."
        )
    if spec.classes or spec.per_class is not None:
        raise FigureError(
            "Classes and photos of each class are chosen of a store: give one (--store STORE)."
        )
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
