"""The controls of the page Figure, and the specification that they come to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cbam_viz.figures import Row, venues
from cbam_viz.figures.ask import registry
from cbam_viz.render import COLORMAPS, DEFAULT_OPACITY
from cbam_viz.ui.pages.figure import columns as figure_columns
from cbam_viz.ui.pages.figure import sources as figure_sources
from cbam_viz.ui.pages.figure.sources import Chosen, Network
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control

LAYOUTS = {
    name: one.title
    for name, one in registry.LAYOUTS.items()
    if "photos" in one.of and not one.of_networks
}
SCALES = {
    "absolute": "absolute, 0 to 1",
    "shared": "one range for all maps",
    "per map": "each map its own",
}
CELLS = {"smooth": "smooth", "cells": "as they are", "grid": "with a grid"}
WEIGHTS = {"layer": "layer", "class": "class", "curves": "class, as curves"}
CHANNELS = {"all": "all", "sample": "evenly spaced ones", "top": "those of the highest mean"}
NONE = "none"


def layout() -> str:
    """What kind of figure."""
    chosen: str = st.segmented_control(
        "Layout",
        list(LAYOUTS),
        format_func=LAYOUTS.__getitem__,
        required=True,
        help="Grid: photos as rows. All layers: one photo through the network. Channel weights: by "
        "layer or by class. One channel: before and after its gates.",
        **control("layout", "grid", list(LAYOUTS)),
    )
    return chosen


def what(kind: str, scene: Scene, networks: list[Network]) -> dict[str, Any]:
    """What the figure of that layout shows."""
    if kind == "grid":
        return figure_columns.choose(scene, networks)
    names = list(scene.layers)
    if kind == "depth":
        return {"layers": _layers(names), "per_line": _count("per_line", "Pictures in a line", 32)}
    if kind == "channels":
        shown = st.segmented_control(
            "Channel weights by",
            list(WEIGHTS),
            format_func=WEIGHTS.__getitem__,
            required=True,
            **control("by", "layer", list(WEIGHTS)),
        )
        chosen: dict[str, Any] = {"order": order(), **_channels()}
        if shown == "curves":
            chosen |= {"by": "class", "plot": "curves"}
        else:
            chosen["by"] = shown
        if shown == "class":
            return chosen | {"layer": _layer(names)}
        per_line = _count("panels", "Panels in a line", 16)
        default = "all" if shown == "layer" else "the last of each stage"
        return chosen | {"layers": _layers(names, default), "per_line": per_line}
    layer = _layer(names)
    weights = scene.layers[layer].channel
    count = 0 if weights is None else weights.shape[1]
    channel = st.selectbox(
        "Channel",
        range(-1, count),
        format_func=lambda index: "the one with the highest weight" if index < 0 else f"{index}",
        **control("channel", -1, range(-1, count)),
    )
    return {"layer": layer, "channel": None if channel < 0 else int(channel)}


def blocks(photos: int) -> int | None:
    """Side-by-side blocks of rows; there is nothing to choose for one row."""
    if photos < 2:
        return None
    return _count(
        "blocks",
        "Rows of photos",
        8,
        texts={1: "below each other"},
        more="in {} blocks side by side",
    )


def page_size() -> dict[str, Any]:
    """Venue and width."""
    titles = {venue.key: venue.title for venue in venues().values()}
    left, right = st.columns(2)
    key = left.selectbox(
        "Venue", list(titles), format_func=titles.__getitem__,
        **control("venue", "cvpr", list(titles)),
    )  # fmt: skip
    venue = venues()[key]
    widths = {
        "column": f"column, {venue.column_width:.0f} pt",
        "text": f"text, {venue.text_width:.0f} pt",
        "free": "millimetres",
    }
    if venue.column_width == venue.text_width:  # its pages have one column
        del widths["column"]
    width = right.selectbox(
        "Width", list(widths), format_func=widths.__getitem__,
        **control("width", "text", list(widths)),
    )  # fmt: skip
    if width == "free":
        width = st.number_input(
            "Millimetres",
            min_value=20.0,
            max_value=1000.0,
            step=1.0,
            **control("mm", 120.0, between=(20, 1000)),
        )
    return {"venue": key, "width": width}


@dataclass(frozen=True)
class Parts:
    """What a figure has, and so which of its settings can do anything."""

    maps: bool = False
    photos: bool = False
    """The input itself."""
    gates: bool = False
    """Maps are of gates, on a scale as one wishes."""
    overlays: bool = False
    """Maps lie over the photo as one wishes."""
    classes: bool = False
    """Photos are grouped by their class."""
    cells: bool = False
    """Coloured cells of channel weights."""
    heads: bool = True
    rows: bool = False
    """Each photo has a row with a label."""

    @property
    def pictures(self) -> bool:
        """Whether photos or maps are shown, which can be cropped and marked."""
        return self.maps or self.photos


def parts(kind: str, values: Mapping[str, Any]) -> Parts:
    """What the figure of that layout has, given what it shows."""
    if kind == "depth":
        return Parts(maps=True, photos=True, gates=True, overlays=True)
    if kind == "channel":
        return Parts(maps=True, photos=True, rows=True)
    if kind == "channels":
        by_class = values["by"] == "class"
        cells = by_class and "plot" not in values
        return Parts(classes=by_class, cells=cells, heads=not cells)
    kinds = {column.kind for column in values["columns"]}
    return Parts(
        maps=any(registry.COLUMNS[kind].maps for kind in kinds),
        photos="input" in kinds,
        gates=bool(kinds & {"map", "stage"}),
        overlays=True,
        rows=True,
    )


def look(has: Parts, view: str) -> dict[str, Any]:
    """Colours, scale, labels and marks, as far as the figure has what they change."""
    values: dict[str, Any] = {}
    places = itertools.cycle(st.columns(2))
    if has.gates or has.cells:
        scales = SCALES if has.gates else {key: SCALES[key] for key in ("absolute", "shared")}
        values["scale"] = _pick(next(places), "Scale", "scale", scales)
    if has.maps or has.cells:
        names = {str(name): str(name) for name in COLORMAPS}
        values["colormap"] = _pick(next(places), "Colour map", "colormap", names)
    if has.maps and has.overlays:
        values["style"] = _pick(
            next(places), "Maps", "style", {"overlay": "over the photo", "map": "alone"}
        )
        if values["style"] == "overlay":
            values["opacity"] = next(places).slider(
                "Opacity", 0.0, 1.0, step=0.05,
                **control("opacity", DEFAULT_OPACITY, between=(0, 1)),
            )  # fmt: skip
    if has.maps:
        values["cells"] = _pick(next(places), "Cells of a map", "cells", CELLS)
    if has.pictures and view != "whole":
        values["frame"] = _pick(
            next(places), "Show", "frame", {"seen": "the seen part", "photo": "the whole photo"}
        )
    if has.heads or has.pictures:
        values["letters"] = _pick(next(places), "Letters (a), (b)", "letters", _letters(has))
    if has.rows:
        values["row_labels"] = _pick(
            next(places), "Row labels", "row_labels",
            {NONE: "none", "name": "file name", "class": "predicted class"},
        )  # fmt: skip
    if has.pictures:
        values["scale_bar"] = _pick(
            next(places), "Scale bar", "scale_bar",
            {NONE: "none", "photo": "photo pixels", "input": "input pixels"},
        )  # fmt: skip
        values["image_dpi"] = _pick(
            next(places), "Resolution of photos", "image_dpi",
            {0: "their own", 600: "at most 600 dpi", 300: "at most 300 dpi"},
        ) or None  # fmt: skip
    left, right = st.columns(2)
    if has.heads:
        values["heads"] = left.toggle("Headings", **control("heads", True))
    if has.photos and values.get("frame") == "photo":
        values["mark_seen"] = right.toggle("Outline the seen part", **control("mark_seen", False))
    if has.maps and left.toggle("Contour line", **control("contour", False)):
        values["contours"] = (
            right.number_input("At the value", step=0.05, format="%.3f", **control("level", 0.5)),
        )
    return values


def rows(photos: list[Chosen], has: Parts) -> tuple[Row, ...]:
    """Own settings of each photo."""
    grouped = has.classes
    if not (has.pictures or has.rows or grouped):
        return ()
    settings = []
    for number, one in enumerate(photos, 1):
        title = one.photo.name if len(photos) == 1 else f"Row {number}: {one.photo.name}"
        with st.expander(title, icon=":material/photo:"):
            settings.append(_row(one, has))
    return tuple(settings) if any(row != Row() for row in settings) else ()


def _letters(has: Parts) -> dict[str, str]:
    if has.rows:
        return {NONE: "none", "columns": "columns", "rows": "rows", "cells": "pictures"}
    return {NONE: "none", "cells": "pictures" if has.pictures else "panels"}


def _row(one: Chosen, has: Parts) -> Row:
    sha = figure_sources.key_of_photo(one.photo)
    height, width = one.photo.size
    label = group = ""
    if has.rows:
        label = st.text_input("Label", placeholder="as set above", **control(f"label_{sha}", ""))
    if has.classes:
        group = st.text_input(
            "Class", placeholder="the predicted one", **control(f"group_{sha}", "")
        )
    regions: dict[str, tuple[float, float, float, float] | None] = {}
    for name, title in (("zoom", "Zoom inset"), ("box", "Box"), ("crop", "Crop")):
        regions[name] = None
        if not has.pictures or height < 2 or width < 2:
            continue
        if st.toggle(title, **control(f"{name}_{sha}", False)):
            top, bottom = _ends(f"{title}: top and bottom", f"{name}_y_{sha}", height)
            left, right = _ends(f"{title}: left and right", f"{name}_x_{sha}", width)
            regions[name] = (
                float(top), float(left), float(max(bottom, top + 1)), float(max(right, left + 1)),
            )  # fmt: skip
    box = regions["box"]
    return Row(
        label=label or None,
        group=group or None,
        crop=regions["crop"],
        zoom=regions["zoom"],
        boxes=() if box is None else (box,),
    )


def _ends(title: str, name: str, side: int) -> tuple[int, int]:
    """Both ends of a region along a side of `side` pixels."""
    middle = (side * 3 // 8, side * 5 // 8)
    ends: tuple[int, int] = st.slider(title, 0, side, **control(name, middle, between=(0, side)))
    return ends


def _channels() -> dict[str, Any]:
    """Which channels of a layer."""
    chosen = _pick(st, "Which channels", "channels", CHANNELS)
    if chosen == "all":
        return {}
    count = st.number_input(
        "How many", min_value=1, max_value=4096, **control("many", 50, between=(1, 4096))
    )
    return {chosen: int(count)}


def _layers(names: list[str], default: str = "all") -> tuple[str, ...]:
    picked = st.multiselect("Layers", names, placeholder=default, **control("layers", [], names))
    return tuple(name for name in names if name in picked)


def _layer(names: list[str]) -> str:
    layer: str = st.selectbox("Layer", names, **control("layer", names[-1], names))
    return layer


def order() -> str:
    """Whether channels stand by index."""
    titles = {"index": "by index", "weight": "highest first"}
    return str(_pick(st, "Channels", "order", titles))


def _count(
    name: str, title: str, most: int, *, texts: Mapping[int, str] | None = None, more: str = "{}"
) -> int | None:
    """So many, or as many as suits the figure."""
    known = {0: "automatic", **(texts or {})}
    count = st.selectbox(
        title,
        range(most + 1),
        format_func=lambda number: known.get(number) or more.format(number),
        **control(name, 0, range(most + 1)),
    )
    return int(count) or None


def _pick(place: Any, title: str, name: str, titles: dict[Any, str]) -> Any:
    first = next(iter(titles))
    return place.selectbox(
        title, list(titles), format_func=titles.__getitem__, **control(name, first, list(titles))
    )
