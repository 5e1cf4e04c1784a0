"""The options of `cbam-viz figure` that say what a figure shows and how it looks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from cbam_viz._defaults import COLORMAP, COLORMAPS
from cbam_viz.cli.options import opacity_option
from cbam_viz.figures.ask.presets import PRESETS
from cbam_viz.figures.ask.registry import COLUMNS, OFFERED, ColumnKind

if TYPE_CHECKING:
    from cbam_viz.figures import Column, FigureSpec

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Wishes:
    """What the command line says of the figure; None where it says nothing."""

    layout: str | None
    preset: str | None
    columns: str | None
    layers: tuple[str, ...]
    channel: int | None
    by: str | None
    plot: str
    top: int | None
    sample: int | None
    order: str
    rank: str
    relative: bool
    spread: bool
    shown_classes: tuple[str, ...]
    per_class: int | None
    photo: str | None
    listed: int | None
    venue: str
    width: str
    font: str
    scale: str
    colormap: str
    opacity: float
    style: str
    cells: str
    frame: str
    mark_seen: bool
    contours: tuple[float, ...]
    crops: tuple[str, ...]
    zooms: tuple[str, ...]
    boxes: tuple[str, ...]
    scale_bar: str
    letters: str
    heads: bool
    row_labels: str
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    group_by: str | None
    blocks: int | None
    per_line: int | None
    image_dpi: int | None


_REGION = "[N:]TOP,LEFT,BOTTOM,RIGHT"


def _choice(name: str, values: Sequence[str], default: str, text: str, *more: str) -> Any:
    return click.option(
        name, *more, type=click.Choice(values), default=default, show_default=True, help=text
    )


def _written(name: str, kind: ColumnKind) -> str:
    """How a column is written: `gradcam[:LAYER][@CLASS]`."""
    takes = f"[:{kind.takes.upper()}]" if kind.optional else f":{kind.takes.upper()}"
    named = takes if kind.takes else ""
    at = ("[@CLASS]" if kind.takes else "[:@CLASS]") if kind.of_class else ""
    return name + named + (":" + "|".join(kind.places) if kind.places else "") + at


_COLUMNS = ", ".join(_written(name, kind) for name, kind in COLUMNS.items())

_OPTIONS = (
    click.option("--layout", type=click.Choice(tuple(OFFERED)),
                 help="; ".join(f"{name}: {one.about}" for name, one in OFFERED.items())
                 + ". [default: channels with --by, --plot, --top, --sample or --group-by, else "
                 "grid]"),
    click.option("--preset", type=click.Choice(tuple(PRESETS)),
                 help="; ".join(f"{name}: {one.about}" for name, one in PRESETS.items())
                 + ". The second network is the one that belongs to the first, or --compare."),
    click.option("--columns", metavar="LIST",
                 help=f"Of a grid, comma-separated: {_COLUMNS}. map@2:LAYER is the "
                 "second network; =TEXT gives a heading; without CLASS it is the one that the "
                 "first network predicts. [default: input, each "
                 "stage's last map, prediction]"),
    click.option("--layer", "-l", "layers", multiple=True, metavar="NAME",
                 help="Layer to show, by name or place (0, -1); may be repeated. [default: all; "
                 "for one channel and by class the last; in a grid and curves the last of each "
                 "stage]"),
    click.option("--channel", type=click.IntRange(0), metavar="N",
                 help="Index of the one channel. [default: the one with the highest weight]"),
    click.option("--by", type=click.Choice(("layer", "class")),
                 help="Channel weights: a panel for each layer, or a line for each class. "
                 "[default: layer]"),
    _choice("--plot", ("auto", "curves"), "auto",
            "Channel weights: bars by layer and coloured cells by class, or curves: a line for "
            "each class and one for the mean of all classes, a panel for each layer."),
    click.option("--top", type=click.IntRange(1), metavar="N",
                 help="Channel weights: only the N channels of the highest mean weight."),
    click.option("--sample", type=click.IntRange(1), metavar="N",
                 help="Channel weights: only N channels, evenly spaced by index."),
    _choice("--order", ("index", "weight", "cluster"), "index",
            "Channels by index, or from the highest weight down; cluster: classes and channels "
            "by hierarchical clustering, of cells by class and of distances."),
    _choice("--top-by", ("weight", "selective"), "weight",
            "What --top takes of classes: the highest mean weights, or what tells classes apart "
            "best.", "rank"),
    click.option("--relative", is_flag=True,
                 help="Cells by class: differences from the mean of all classes."),
    click.option("--spread", is_flag=True,
                 help="Curves: a band of one standard deviation within each class."),
    click.option("--class", "shown_classes", multiple=True, metavar="NAME",
                 help="Of a store: class to show; may be repeated. [default: all; of curves the "
                 "four of most photos]"),
    click.option("--per-class", type=click.IntRange(1), metavar="N",
                 help="Of a store: means over N photos of each class, evenly spaced. [default: "
                 "all]"),
    click.option("--photo", metavar="NAME|N",
                 help="Nearest photos: the one of the store that they are near to. [default: the "
                 "first]"),
    click.option("--list", "listed", type=click.IntRange(1, 32), metavar="N",
                 help="Photos of a channel, nearest and unusual ones: how many."),
    click.option("--venue", default="cvpr", show_default=True, metavar="NAME",
                 help="Where it is printed; see --list-venues."),
    click.option("--width", default="text", show_default=True, metavar="column|text|MM",
                 help="One column, the whole text, or so many millimetres."),
    click.option("--font", default="auto", show_default=True, metavar="NAME",
                 help="An installed font; auto takes the venue's, or what comes closest."),
    _choice("--scale", ("absolute", "shared", "per-map"), "absolute",
            "Range of the colours: 0 to 1, one range for all maps, or each map its own."),
    click.option("--colormap", default=COLORMAP, show_default=True, metavar="NAME",
                 help=f"One of {', '.join(COLORMAPS)}."),
    opacity_option,
    _choice("--style", ("overlay", "map"), "overlay", "Maps over the photo, or alone."),
    _choice("--cells", ("smooth", "cells", "grid"), "smooth",
            "Maps interpolated between the centres of their cells, cell by cell, or with lines "
            "between the cells."),
    _choice("--frame", ("seen", "photo"), "seen",
            "Show the part of the photo that the network saw, or all of it."),
    click.option("--mark-seen", is_flag=True, help="Outline on the input what the network saw."),
    click.option("--contour", "contours", multiple=True, type=float, metavar="LEVEL",
                 help="Contour line at this value; may be repeated."),
    click.option("--crop", "crops", multiple=True, metavar=_REGION,
                 help="Show this part of image N (of all images without N), in its pixels."),
    click.option("--zoom", "zooms", multiple=True, metavar=_REGION,
                 help="Show this part enlarged in a corner."),
    click.option("--box", "boxes", multiple=True, metavar=_REGION, help="Draw a box."),
    _choice("--scale-bar", ("none", "photo", "input"), "none",
            "A bar with its length in pixels of the photo or of the network's input."),
    _choice("--letters", ("none", "columns", "rows", "cells"), "none", "(a), (b) ..."),
    click.option("--heads/--no-heads", default=True, show_default=True, help="Headings."),
    _choice("--row-labels", ("none", "name", "class"), "none",
            "Left of each row: the file's name or the predicted class."),
    click.option("--label", "labels", multiple=True, metavar="TEXT",
                 help="Left of the next row; may be repeated, in the order of the images."),
    click.option("--group", "groups", multiple=True, metavar="TEXT",
                 help="Class of the next image, for --by class and curves. [default: as "
                 "--group-by says]"),
    click.option("--group-by", metavar="predicted|folder|FILE",
                 help="Classes of the images: as the network predicts, the folder that an image "
                 "lies in, or a file of lines image,class. [default: predicted]"),
    click.option("--blocks", type=click.IntRange(1, 8), metavar="N",
                 help="Set the rows of a grid side by side in N blocks."),
    click.option("--per-line", type=click.IntRange(1, 64), metavar="N",
                 help="Pictures in a line of the other layouts."),
    click.option("--image-dpi", type=click.IntRange(36, 2400), metavar="N",
                 help="At most N pixels an inch in PDF and SVG, for smaller files. "
                 "[default: the photo's own, up to 1600 along its longer side]"),
)  # fmt: skip


def figure_options(command: Command) -> Command:
    """Add them; the command gets `wishes: Wishes`."""

    @functools.wraps(command)
    def collect(**values: Any) -> Any:
        wishes = Wishes(**{field.name: values.pop(field.name) for field in fields(Wishes)})
        return command(wishes=wishes, **values)

    for option in reversed(_OPTIONS):
        collect = option(collect)
    return cast(Command, collect)


def spec_of(wishes: Wishes, paths: Sequence[Path], *, store: bool = False) -> FigureSpec:
    """Turn the options into the specification of a figure of these images, or of a store.

    Raises:
        click.UsageError: an option that has not the form it should have.
        FigureError: values that make no figure.
    """
    from cbam_viz.figures import FigureSpec, Row, columns_from_text

    same = {
        name: getattr(wishes, name)
        for name in (
            "layers", "channel", "plot", "top", "sample", "order", "rank", "relative", "spread",
            "per_class", "photo", "listed", "venue", "font", "colormap",
            "opacity", "style", "cells", "frame", "mark_seen", "contours", "scale_bar", "letters",
            "heads", "row_labels", "blocks", "per_line", "image_dpi",
        )
    }  # fmt: skip
    layout = _layout(wishes, store=store)
    if wishes.columns and layout != "grid":
        raise click.UsageError(
            f"Columns are of the layout 'grid'; the layout {layout!r} has none. Leave --columns "
            "out, or choose the grid."
        )
    columns = columns_from_text(wishes.columns or "")
    if wishes.preset is not None:
        columns = _preset(wishes, layout)
        same["layers"] = ()
    images = len(paths)
    classes = _classes(wishes, paths)
    crops = _regions("--crop", wishes.crops, images)
    zooms = _regions("--zoom", wishes.zooms, images)
    boxes = _regions("--box", wishes.boxes, images)
    rows = tuple(
        Row(
            label=_nth("--label", wishes.labels, number, images),
            group=_nth("--group", wishes.groups, number, images) or classes[number],
            crop=crops[number][-1] if crops[number] else None,
            zoom=zooms[number][-1] if zooms[number] else None,
            boxes=tuple(boxes[number]),
        )
        for number in range(images)
    )
    return FigureSpec(
        **same,
        layout=layout,
        by="class" if store and wishes.by is None else _by(wishes),  # type: ignore[arg-type]
        columns=columns,
        width=width_of(wishes.width),  # type: ignore[arg-type]
        scale="per map" if wishes.scale == "per-map" else wishes.scale,  # type: ignore[arg-type]
        classes=wishes.shown_classes,
        rows=rows if any(row != Row() for row in rows) else (),
    )


def _preset(wishes: Wishes, layout: str) -> tuple[Column, ...]:
    """The columns of `--preset`, of the layer that `--layer` names."""
    from cbam_viz.figures.ask.presets import preset_columns

    if wishes.columns or layout != "grid" or len(wishes.layers) > 1:
        raise click.UsageError(
            "--preset is a grid with columns of its own: leave --columns, --layout and all but one "
            "--layer out."
        )
    assert wishes.preset is not None
    return preset_columns(wishes.preset, *wishes.layers)


def _layout(wishes: Wishes, *, store: bool = False) -> str:
    """The layout asked for, or the one that other options speak of; of a store, its classes."""
    if store:
        return wishes.layout or "channels"
    of_weights = (wishes.by, wishes.top, wishes.sample, wishes.group_by)
    spoken = wishes.plot != "auto" or any(one is not None for one in of_weights)
    return wishes.layout or ("channels" if spoken else "grid")


def _by(wishes: Wishes) -> str:
    """Classes where images are grouped or curves are drawn, unless layers are asked for."""
    grouped = wishes.group_by is not None or wishes.plot == "curves"
    return wishes.by or ("class" if grouped else "layer")


def _classes(wishes: Wishes, paths: Sequence[Path]) -> Sequence[str | None]:
    """The class of each image as `--group-by` has it; None where the network predicts it.

    Raises:
        click.UsageError: what is asked for is no file, or no class comes of it.
        FigureError: a file that has no class of an image.
    """
    from cbam_viz.figures.ask.labels import classes_by_file, classes_by_folder

    wish = wishes.group_by
    if wish is None or wish == "predicted":
        return [None] * len(paths)
    if _layout(wishes) != "channels" or (_by(wishes), wishes.plot) == ("layer", "auto"):
        raise click.UsageError("--group-by is for channel weights --by class, or --plot curves.")
    if wish == "folder":
        return classes_by_folder(paths)
    file = Path(wish)
    if not file.is_file():
        raise click.UsageError(
            f"--group-by is predicted, folder or a file of lines image,class; there is no file "
            f"{wish!r}."
        )
    return classes_by_file(paths, file)


def _nth(option: str, texts: Sequence[str], number: int, images: int) -> str | None:
    if len(texts) > images:
        raise click.UsageError(f"{option} is given {len(texts)} times for {images} images.")
    return texts[number] if number < len(texts) else None


def width_of(text: str) -> str | float:
    """A figure's width as `FigureSpec` takes it; raises click.UsageError for anything else."""
    if text in ("column", "text"):
        return text
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(
            f"--width is column, text or a number of millimetres, not {text!r}."
        ) from None


def _regions(
    option: str, texts: Sequence[str], images: int
) -> list[list[tuple[float, float, float, float]]]:
    """For each image, the regions that are meant for it."""
    regions: list[list[tuple[float, float, float, float]]] = [[] for _ in range(images)]
    for text in texts:
        which, colon, numbers = text.rpartition(":")
        try:
            top, left, bottom, right = (float(number) for number in numbers.split(","))
            only = int(which) if colon else None
        except ValueError:
            raise click.UsageError(f"{option} takes {_REGION}, not {text!r}.") from None
        if only is not None and not 1 <= only <= images:
            raise click.UsageError(f"{option} {text}: there are images 1 to {images}.")
        for number in range(images):
            if only in (None, number + 1):
                regions[number].append((top, left, bottom, right))
    return regions
