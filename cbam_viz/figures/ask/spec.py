"""What a figure shows and how: one frozen value that the app, the command line and Python share.

A `FigureSpec` names no files. Which photos and networks it is drawn from is given beside it, and
recorded in the manifest.
"""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args, get_origin

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.plain import from_plain
from cbam_viz.figures.ask.registry import LAYOUTS
from cbam_viz.figures.ask.venues import venue
from cbam_viz.render import DEFAULT_COLORMAP, DEFAULT_OPACITY, CellStyle, ScaleKind

Style = Literal["overlay", "map"]
Frame = Literal["photo", "seen"]
Letters = Literal["none", "columns", "rows", "cells"]
RowLabels = Literal["none", "name", "class"]
ScaleBar = Literal["none", "photo", "input"]
Region = tuple[float, float, float, float]
"""(top, left, bottom, right) in pixels of the photo."""

MOST_COLUMNS, MOST_MARKS = 64, 64
"""Of a grid; of contour levels, and of boxes in a row. More cannot be told apart on a page."""


@dataclass(frozen=True)
class Row:
    """What one photo's row has of its own."""

    label: str | None = None
    """None: what `FigureSpec.row_labels` says."""
    group: str | None = None
    """Its class in channel weights by class, as labelled; None: the predicted one."""
    crop: Region | None = None
    """Show this part of the photo only."""
    zoom: Region | None = None
    """Show this part again, enlarged, in a corner of each picture."""
    boxes: tuple[Region, ...] = ()
    """Rectangles drawn on the pictures."""

    def __post_init__(self) -> None:
        _at_most("boxes in a row", self.boxes, MOST_MARKS)
        for region in (self.crop, self.zoom, *self.boxes):
            if region is not None and not (
                all(map(math.isfinite, region)) and region[0] < region[2] and region[1] < region[3]
            ):
                raise FigureError(
                    "A region is top, left, bottom, right in pixels of the photo; "
                    f"{region} is empty or endless."
                )


@dataclass(frozen=True)
class FigureSpec:
    """A figure's settings; every field has a default that prints well."""

    layout: str = "grid"
    """One of `registry.LAYOUTS`. `grid`: photos as rows, chosen columns. `depth`: one photo, all
    layers in order. `channels`: channel weights by layer or by class. `channel`: one channel before
    and after its gates. Of a store: `channels` by class, and `variance`, `distances`, `extremes`,
    `nearest`, `unusual`, `against`, `stores`."""
    columns: tuple[Column, ...] = ()
    """Grid: from left to right. Empty: the input, and of each network the last layer of each stage
    (at most four in all) and the prediction, or what it found."""
    rows: tuple[Row, ...] = ()
    """Own settings of the photos, in their order; missing ones are defaults."""
    layers: tuple[str, ...] = ()
    """Which ones. Empty: all in depth and in channel weights by layer; in channel weights by class
    and one channel before and after, the last; in curves, the last of each stage; in a grid without
    `columns`, the last of each stage, as maps."""
    layer: str | None = None
    """Where one layer is the rule, that one; it counts before `layers`."""
    channel: int | None = None
    """One channel before and after: its index; None: the one with the highest weight. Photos of a
    channel: None is the one that differs most between photos."""
    by: Literal["layer", "class"] = "layer"
    """Channel weights: one panel for each layer, or one line for each class."""
    plot: Literal["auto", "curves"] = "auto"
    """Channel weights: bars by layer and coloured cells by class; or `curves`, a line for each
    class and one for the mean of all, with a panel for each layer."""
    top: int | None = None
    """Channel weights: only so many channels, those of the highest mean weight."""
    sample: int | None = None
    """Channel weights: only so many channels, evenly spaced by index."""
    order: Literal["index", "weight", "cluster"] = "index"
    """Channel weights: by channel index, or from the highest weight to the lowest. By class, and
    for distances, `cluster`: classes and channels as hierarchical clustering puts them, with the
    tree of the classes."""
    rank: Literal["weight", "selective"] = "weight"
    """By what `top` chooses channels of classes: the mean weight, or how selective they are."""
    relative: bool = False
    """Channel weights by class: what each class differs from the mean of all classes."""
    spread: bool = False
    """Curves: a band of one standard deviation within the class, on both sides of its line."""
    classes: tuple[str, ...] = ()
    """Of a store: which, in this order. Empty: in curves the four of most photos, else all."""
    per_class: int | None = None
    """Of a store: means are over so many photos of each class, evenly spaced; None: all."""
    photo: str | None = None
    """Nearest photos: name or number in the store of the one that they are near to."""
    listed: int | None = None
    """Photos of a channel, nearest and unusual photos: how many; None: what suits the page."""
    venue: str = "cvpr"
    width: Literal["column", "text"] | float = "text"
    """Or millimetres."""
    font: str = "auto"
    """`auto`: the venue's, or what stands in for it; or the name of an installed font."""
    scale: ScaleKind = "absolute"
    """`absolute`: 0 to 1. `shared`: from the lowest to the highest value in the figure.
    `per map`: each map from its own lowest to its own highest value, printed on each."""
    colormap: str = DEFAULT_COLORMAP
    opacity: float = DEFAULT_OPACITY
    style: Style = "overlay"
    cells: CellStyle = "smooth"
    frame: Frame = "seen"
    """Show the part of the photo that the network saw, or the whole photo, the rest of it faded."""
    mark_seen: bool = False
    """Outline on the input what the network saw."""
    contours: tuple[float, ...] = ()
    """Levels at which maps get contour lines, in the map's own values."""
    scale_bar: ScaleBar = "none"
    """A bar with its length in pixels of the photo, or of the network's input."""
    letters: Letters = "none"
    heads: bool = True
    row_labels: RowLabels = "none"
    blocks: int | None = None
    """Grid: set the rows side by side in so many blocks; None: as few as fit the page."""
    per_line: int | None = None
    """Depth, channel weights by layer: pictures in a line; None: what leaves least white."""
    image_dpi: int | None = None
    """At most so many pixels an inch in PDF and SVG. None: the photo's own pixels, up to 1600 along
    its longer side."""

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise FigureError(
                f"The layout of the figure is one of {', '.join(LAYOUTS)}; got {self.layout!r}."
            )
        venue(self.venue).width(self.width)
        for name, value in _choices(type(self)).items():
            if getattr(self, name) not in value:
                raise FigureError(
                    f"{name.replace('_', ' ').capitalize()} is one of {', '.join(value)}; "
                    f"got {getattr(self, name)!r}."
                )
        _at_most("columns", self.columns, MOST_COLUMNS)
        _at_most("contours", self.contours, MOST_MARKS)
        if not all(map(math.isfinite, self.contours)):
            raise FigureError("A contour needs a number as its level, such as 0.5.")
        _in_range("opacity", self.opacity, 0, 1)
        _in_range("image_dpi", self.image_dpi, 36, 2400)
        _in_range("blocks", self.blocks, 1, 8)
        _in_range("per_line", self.per_line, 1, 64)
        _in_range("channel", self.channel, 0, None)
        _in_range("top", self.top, 1, None)
        _in_range("sample", self.sample, 1, None)
        if self.top is not None and self.sample is not None:
            raise FigureError("Top and sample both choose channels; give one of them.")
        if self.layout == "grid" and self.columns and self.named_layers:
            raise FigureError(
                "Columns name their layers themselves, so the layers "
                f"{', '.join(self.named_layers)} would be left out: write them as columns, such as "
                f"map:{self.named_layers[0]}, or leave the columns out."
            )
        if self.channel is not None and self.layout not in ("channel", "extremes"):
            raise FigureError(
                "A channel is of the layout 'channel', or 'extremes' of a store: choose that too."
            )
        self._check_weights()

    def _check_weights(self) -> None:
        """Raise FigureError for wishes that the layout cannot fulfil."""
        _in_range("per_class", self.per_class, 1, None)
        _in_range("listed", self.listed, 1, 32)
        asked = self.sample is not None or self.plot != "auto"
        if asked and self.layout != "channels":
            raise FigureError(
                "Curves, top and sample are of channel weights: choose the layout 'channels'."
            )
        if self.top is not None and self.layout not in ("channels", "against"):
            raise FigureError("Top is of channel weights: choose the layout 'channels'.")
        cells = self.layout == "channels" and self.variant == "class"
        if self.relative and not cells:
            raise FigureError(
                "Differences from the mean of all classes are of channel weights by class."
            )
        if self.spread and self.variant != "curves":
            raise FigureError("Bands of the spread within a class are of curves: choose those.")
        if self.rank != "weight" and (self.top is None or self.variant not in ("class", "curves")):
            raise FigureError(
                "Selective channels are chosen of classes: give top, by class or as curves."
            )
        if self.order == "cluster" and not (cells or self.layout == "distances"):
            raise FigureError(
                "Clustering puts classes in order: choose channel weights by class, or distances."
            )

    @property
    def variant(self) -> str:
        """Of a layout that has several: which one is drawn."""
        if self.layout != "channels":
            return ""
        return "curves" if self.plot == "curves" else self.by

    @property
    def named_layers(self) -> tuple[str, ...]:
        """The layers that are asked for, where one is the rule."""
        return self.layers if self.layer is None else (self.layer,)

    @property
    def module(self) -> str:
        """What the modules of this figure are called in `content` and in `draw`."""
        return LAYOUTS[self.layout].modules.get(self.variant, self.layout)

    def row(self, index: int) -> Row:
        """The settings of one photo."""
        return self.rows[index] if index < len(self.rows) else Row()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> FigureSpec:
        """Back from `to_dict`; fields that are left out get their defaults.

        Raises:
            FigureError: if a field is unknown or its value is none it can have.
        """
        return from_plain(FigureSpec, data, "the figure")

    def with_(self, **changes: Any) -> FigureSpec:
        """A copy with other values."""
        return replace(self, **changes)


def _in_range(name: str, value: float | None, low: float, high: float | None) -> None:
    if value is None:
        return
    if not low <= value <= (math.inf if high is None else high):
        limits = f"{low:g} to {high:g}" if high is not None else f"{low:g} or more"
        raise FigureError(f"{name.replace('_', ' ').capitalize()} is {limits}; got {value:g}.")


def _at_most(what: str, values: tuple[Any, ...], most: int) -> None:
    if len(values) > most:
        raise FigureError(f"A figure takes at most {most} {what}; got {len(values)}.")


def _choices(kind: type[Any]) -> dict[str, tuple[str, ...]]:
    """Fields whose type is a plain Literal, with what it allows."""
    hints = typing.get_type_hints(kind)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
