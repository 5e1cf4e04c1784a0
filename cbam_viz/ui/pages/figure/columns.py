"""The columns of a grid on the page Figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from cbam_viz.analysis import Analysis
from cbam_viz.figures import FigureSpec, format_column, parse_column
from cbam_viz.figures.ask.registry import COLUMNS
from cbam_viz.figures.content.find import stages
from cbam_viz.figures.content.grid import default_columns
from cbam_viz.figures.content.values import Study
from cbam_viz.layer_names import short_names
from cbam_viz.models import LoadedModel
from cbam_viz.ui.pages.figure import by_method
from cbam_viz.ui.pages.figure.sources import Network, analysis_of
from cbam_viz.ui.pages.figure.state import kept
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control, page_settings

SEPARATOR = "|"


def choose(scene: Scene, networks: list[Network]) -> dict[str, Any]:
    """Which columns, with which headings; the order of bars where there are some."""
    analyses = tuple(
        analysis_of(FigureSpec(), scene.photo, network, scene, number)
        for number, network in enumerate(networks)
    )
    options = {"input": "Input"}
    for number, analysis in enumerate(analyses):
        options |= _of_network(analysis, number, networks[number].loaded)
    default = _default(analyses, options)
    _follow_networks(networks, default, _default(analyses[:1], options))
    picked = st.multiselect(
        "Columns",
        list(options),
        format_func=options.__getitem__,
        placeholder="Choose what to show",
        help="From left to right, in the order in which they are picked.",
        **control("columns", default, list(options)),
    )
    headings = st.text_input(
        "Your own headings",
        placeholder=f"Photo {SEPARATOR} Stage 2 {SEPARATOR} Stage 4",
        help=f"In the order of the columns, with {SEPARATOR} between them. A place that you leave "
        "empty keeps its usual heading.",
        **control("headings", ""),
    )
    words = [word.strip() for word in headings.split(SEPARATOR)]
    words += [""] * len(picked)
    columns = [
        replace(parse_column(text), head=word or None)
        for text, word in zip(picked, words, strict=False)
    ]
    if any(COLUMNS[column.kind].of_class for column in columns):
        target = _choose_class(analyses[0])
        columns = [
            replace(one, target=target) if COLUMNS[one.kind].of_class else one for one in columns
        ]
    return {"columns": tuple(columns)}


def _choose_class(analysis: Analysis) -> str | None:
    """The class that methods and effects are for, by its name; None for the predicted one."""
    names = list(dict.fromkeys(analysis.classes or ()))
    picked: str = st.selectbox(
        "Class of methods and effects",
        ["", *names],
        format_func=lambda name: name or "the predicted one",
        help="Of each photo the class that the first network predicts, or one that you choose.",
        **control("class", "", ["", *names]),
    )
    return picked or None


def _default(analyses: tuple[Analysis, ...], options: dict[str, str]) -> list[str]:
    columns = [format_column(column) for column in default_columns(Study((analyses,)))]
    return [column for column in columns if column in options]


def _follow_networks(networks: list[Network], default: list[str], alone: list[str]) -> None:
    """Add a second network's columns to the picked ones when it is chosen.

    A link that names columns says all of them.
    """
    ours = page_settings()
    second = networks[1].request if len(networks) > 1 else None
    if second == kept().second:
        return
    kept().second = second
    if kept().preset:  # it has picked columns of both
        kept().preset = False
        return
    picked = ours.values.get("columns")
    if picked is None or "columns" in ours.link:
        return
    first = [column for column in picked if "@" not in column.partition(":")[0]]
    if first == alone or not first:
        del ours.values["columns"]  # the default, with those of both
    else:
        ours.values["columns"] = first + [column for column in default if column not in alone]


def _of_network(analysis: Analysis, number: int, loaded: LoadedModel) -> dict[str, str]:
    """Everything that can be shown of a network, by the text that names it in a link."""
    at = f"@{number + 1}" if number else ""
    attention = analysis.attention
    short = short_names(attention)
    options = {f"input{at}": "Input"} if number else {}
    for stage, layers in stages(attention).items():
        for layer in layers:
            if layer.spatial is not None:
                options[f"map{at}:{layer.name}"] = f"Map {short[layer.name]}"
        if len(layers) > 1 and any(layer.spatial is not None for layer in layers):
            options[f"stage{at}:{stage}"] = f"Mean map of {stage}"
    for layer in attention.values():
        if layer.channel is not None:
            options[f"channels{at}:{layer.name}"] = f"Channel weights {short[layer.name]}"
    for layer in attention.values():
        if layer.cells is not None:
            for place in ("before", "after"):
                title = f"Strength of features {place} {short[layer.name]}"
                options[f"energy{at}:{layer.name}:{place}"] = title
    options |= by_method.columns(analysis, at, loaded)
    for name in (*_of_what_was_found(analysis), "prediction", "class", "probability"):
        options[f"{name}{at}"] = name.capitalize()
    if not number:
        return options
    return {key: f"Second: {_inside(title)}" for key, title in options.items()}


def _inside(title: str) -> str:
    """As it stands inside a sentence: `map layer4.1`, and `Grad-CAM` as it is."""
    named = any(letter.isupper() for letter in title.split(maxsplit=1)[0][1:])
    return title if named else f"{title[0].lower()}{title[1:]}"


def _of_what_was_found(analysis: Analysis) -> tuple[str, ...]:
    found = analysis.detections
    if found is None:
        return ()
    return ("detections", "boxes") if found.masks is None else ("detections", "boxes", "mask")
