"""The controls of the page Figure, and the specification that they come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from cbam_viz.figures import FigureSpec, Row, format_column, parse_column, venues
from cbam_viz.figures.content import Study, default_columns, short_names, stages
from cbam_viz.render import COLORMAPS
from cbam_viz.ui.pages.figure import sources as figure_sources
from cbam_viz.ui.pages.figure.sources import Chosen, Network, analysis_of
from cbam_viz.ui.pages.figure.state import control
from cbam_viz.ui.scene import Scene

LAYOUTS = {
    "grid": "Grid",
    "depth": "All layers",
    "channels": "Channel weights",
    "channel": "One channel",
}
SCALES = {
    "absolute": "absolute, 0 to 1",
    "shared": "one range for all maps",
    "per map": "each map its own",
}
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
        return {"columns": _columns(scene, networks)}
    names = list(scene.layers)
    if kind == "depth":
        return {"layers": _layers(names), "per_line": _count("per_line", "Pictures in a line", 32)}
    if kind == "channels":
        by = st.segmented_control(
            "Channel weights by",
            ["layer", "class"],
            required=True,
            **control("by", "layer", ["layer", "class"]),
        )
        chosen: dict[str, Any] = {"by": by, "order": _order()}
        if by == "layer":
            return chosen | {"layers": _layers(names)}
        return chosen | {"layer": _layer(names)}
    layer = _layer(names)
    weights = scene.layers[layer].channel
    highest = 0 if weights is None else weights.shape[1] - 1
    channel = st.number_input(
        "Channel",
        min_value=-1,
        max_value=highest,
        help=f"0 to {highest}; −1 takes the one with the highest weight.",
        **control("channel", -1, range(-1, highest + 1)),
    )
    return {"layer": layer, "channel": None if channel < 0 else int(channel)}


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


def look() -> dict[str, Any]:
    """Colours, scale, labels and marks."""
    values: dict[str, Any] = {}
    left, right = st.columns(2)
    values["scale"] = _pick(left, "Scale", "scale", SCALES)
    values["colormap"] = _pick(
        right, "Colour map", "colormap", dict(zip(COLORMAPS, COLORMAPS, strict=True))
    )
    values["style"] = _pick(left, "Maps", "style", {"overlay": "over the photo", "map": "alone"})
    values["opacity"] = right.slider(
        "Opacity",
        0.0,
        1.0,
        step=0.05,
        disabled=values["style"] == "map",
        **control("opacity", 0.55, between=(0, 1)),
    )
    values["frame"] = _pick(
        left, "Show", "frame", {"seen": "the seen part", "photo": "the whole photo"}
    )
    values["letters"] = _pick(
        right, "Letters (a), (b)", "letters",
        {NONE: "none", "columns": "columns", "rows": "rows", "cells": "pictures"},
    )  # fmt: skip
    values["row_labels"] = _pick(
        left, "Row labels", "row_labels",
        {NONE: "none", "name": "file name", "class": "predicted class"},
    )  # fmt: skip
    values["scale_bar"] = _pick(
        right, "Scale bar", "scale_bar",
        {NONE: "none", "photo": "photo pixels", "input": "input pixels"},
    )  # fmt: skip
    values["heads"] = left.toggle("Headings", **control("heads", True))
    values["mark_seen"] = right.toggle(
        "Outline the seen part", disabled=values["frame"] == "seen",
        **control("mark_seen", False),
    )  # fmt: skip
    if left.toggle("Contour line", **control("contour", False)):
        values["contours"] = (
            right.number_input("At the value", step=0.05, format="%.3f", **control("level", 0.5)),
        )
    values["image_dpi"] = _pick(
        left, "Pixels in PDF, SVG", "image_dpi",
        {0: "the photo's own", 600: "at most 600 an inch", 300: "at most 300 an inch"},
    ) or None  # fmt: skip
    return values


def rows(photos: list[Chosen], kind: str) -> tuple[Row, ...]:
    """Own settings of each photo."""
    settings = []
    for number, one in enumerate(photos, 1):
        with st.expander(f"Row {number}: {one.photo.name}"):
            settings.append(_row(one, kind))
    return tuple(settings) if any(row != Row() for row in settings) else ()


def blocks() -> int | None:
    """Side-by-side blocks of rows."""
    return _count("blocks", "Blocks of rows side by side", 8)


def _row(one: Chosen, kind: str) -> Row:
    sha = figure_sources.key_of_photo(one.photo)
    height, width = one.photo.size
    label = st.text_input("Label", placeholder="as set above", **control(f"label_{sha}", ""))
    group = ""
    if kind == "channels":
        group = st.text_input(
            "Class", placeholder="the predicted one", **control(f"group_{sha}", "")
        )
    regions: dict[str, tuple[float, float, float, float] | None] = {}
    for name, title in (("zoom", "Zoom inset"), ("box", "Box"), ("crop", "Crop")):
        regions[name] = None
        if height > 1 and width > 1 and st.toggle(title, **control(f"{name}_{sha}", False)):
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


def _columns(scene: Scene, networks: list[Network]) -> tuple[Any, ...]:
    options = {"input": "Input"}
    for number, network in enumerate(networks):
        at = f"@{number + 1}" if number else ""
        of = f", {network.loaded.name}" if number else ""
        options |= _network_columns(scene, network, at, of)
    default = [format_column(column) for column in default_columns(Study(((scene.analysis,),)))]
    picked = st.multiselect(
        "Columns",
        list(options),
        format_func=options.__getitem__,
        help="From left to right, in the order in which they are picked.",
        **control("columns", [one for one in default if one in options], list(options)),
    )
    headings = st.text_input(
        "Headings",
        placeholder="First | | Third",
        help="Your own words, separated by |. An empty place keeps the usual heading.",
        **control("headings", ""),
    )
    words = [word.strip() for word in headings.split("|")]
    words += [""] * len(picked)
    return tuple(
        replace(parse_column(text), head=word or None)
        for text, word in zip(picked, words, strict=False)
    )


def _network_columns(scene: Scene, network: Network, at: str, of: str) -> dict[str, str]:
    attention = analysis_of(FigureSpec(), scene.photo, network, scene).attention
    short = short_names(attention)
    options = {}
    for stage, layers in stages(attention).items():
        for layer in layers:
            if layer.spatial is not None:
                options[f"map{at}:{layer.name}"] = f"Map {short[layer.name]}{of}"
        if len(layers) > 1 and any(layer.spatial is not None for layer in layers):
            options[f"stage{at}:{stage}"] = f"Mean map of {stage}{of}"
    for layer in attention.values():
        if layer.channel is not None:
            options[f"channels{at}:{layer.name}"] = f"Channel weights {short[layer.name]}{of}"
    for name in ("prediction", "class", "probability"):
        options[f"{name}{at}"] = name.capitalize() + of
    return options


def _layers(names: list[str]) -> tuple[str, ...]:
    picked = st.multiselect("Layers", names, placeholder="all", **control("layers", [], names))
    return tuple(name for name in names if name in picked)


def _layer(names: list[str]) -> str:
    layer: str = st.selectbox("Layer", names, **control("layer", names[-1], names))
    return layer


def _order() -> str:
    titles = {"index": "by index", "weight": "highest first"}
    return str(_pick(st, "Channels", "order", titles))


def _count(name: str, title: str, most: int) -> int | None:
    count = st.number_input(
        title,
        min_value=0,
        max_value=most,
        help="0 leaves it to the figure.",
        **control(name, 0, range(most + 1)),
    )
    return int(count) or None


def _pick(place: Any, title: str, name: str, titles: dict[Any, str]) -> Any:
    first = next(iter(titles))
    return place.selectbox(
        title, list(titles), format_func=titles.__getitem__, **control(name, first, list(titles))
    )
