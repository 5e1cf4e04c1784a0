"""What the commands say of one image: its prediction and its layers, in text and in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cbam_viz.cli.found import detections_json, print_detections, print_shares
from cbam_viz.cli.gateless import TO_GET
from cbam_viz.cli.text import print_table, say

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.attention import Attention, LayerAttention
    from cbam_viz.images import Geometry
    from cbam_viz.statistics import GateStatistics, LayerStatistics


def choose_layers(attention: Attention, names: Sequence[str]) -> list[LayerAttention]:
    """Return the layers of these names or places (`0`, `-1`); all of them for `all`.

    Raises:
        click.UsageError: there is no such layer; the text gives near names.
    """
    if "all" in names:
        return list(attention.values())
    more = " 'all' means all of them."
    return [attention[layer_name(attention, name, more)] for name in names]


def layer_name(
    layers: Mapping[str, LayerAttention] | Sequence[str], wanted: str, more: str = ""
) -> str:
    """Return the name of one layer, of its name, place or title; `more` goes with the error.

    Raises:
        click.UsageError: there is no such layer; the text gives near names.
    """
    from cbam_viz.layer_names import find_name, no_such_layer

    found = find_name(layers, wanted)
    if found is None:
        raise click.UsageError(no_such_layer(list(layers), wanted) + more)
    return found


def print_analysis(analysis: Analysis, statistics: Sequence[LayerStatistics]) -> None:
    """Print the prediction and a table of the layers' numbers."""
    from cbam_viz.images import border_note

    height, width = analysis.photo.size
    say(f"{analysis.photo.name}, {width} × {height} pixels, in {analysis.model_name}")
    if note := border_note(analysis.geometry):
        maps = any(layer.spatial is not None for layer in statistics)
        say(f"  {note}{'; numbers of maps are of the photo alone' if maps else ''}")
    for prediction in analysis.predictions:
        say(f"  {prediction.probability:6.1%}  {prediction.label}")
    print_detections(analysis)
    note = analysis.prediction_note if analysis.detections is None else ""
    for sentence in filter(None, (note, analysis.no_gates)):
        say(sentence)
    if analysis.no_gates:
        say(TO_GET)
        return
    say()
    head = ("layer", "gate", "values", "mean", "spread", "min", "max", "saturated", "entropy")
    rows = [row for layer in statistics for row in _rows(layer)]
    print_table(head, rows, right="values mean spread min max saturated entropy")
    print_shares(analysis)
    flagged = [f"{layer.name}: {flag}" for layer in statistics for flag in layer.flags]
    if flagged:
        say("\n" + "\n".join(flagged))


def _rows(layer: LayerStatistics) -> list[tuple[str, ...]]:
    """A row for each gate, the first of them with the layer's name."""
    gates = [("M_c", layer.channel), ("M_s", layer.spatial)]
    there = [(gate, numbers) for gate, numbers in gates if numbers is not None]
    names = [layer.name, *[""] * len(there)]
    return [_row(name, *gate) for name, gate in zip(names, there, strict=False)]


def _row(name: str, gate: str, numbers: GateStatistics) -> tuple[str, ...]:
    entropy = "–" if numbers.entropy is None else f"{numbers.entropy:.3f}"
    values = (numbers.mean, numbers.spread, numbers.minimum, numbers.maximum)
    count = str(numbers.count)
    if numbers.count < numbers.total:
        count += f" of {numbers.total}"
    digits = (f"{value:.3f}" for value in values)
    return (name, gate, count, *digits, f"{numbers.saturated:.0%}", entropy)


def print_limits(attention: Attention) -> None:
    """Say on standard error which attention modules could not be shown, and why."""
    for unsupported in attention.unsupported:
        click.echo(f"Not shown: {unsupported.module}: {unsupported.reason}.", err=True)
    for name in attention.not_called:
        click.echo(f"Not shown: {name} did not run in this forward.", err=True)


def analysis_json(analysis: Analysis, statistics: Sequence[LayerStatistics]) -> dict[str, Any]:
    """Return the same as a dictionary for JSON."""
    from cbam_viz.images import border_note

    geometry = analysis.geometry
    by_name = {layer.name: layer for layer in statistics}
    return {
        "image": {
            "name": analysis.photo.name,
            "sha256": analysis.photo.sha256,
            "height": analysis.photo.size[0],
            "width": analysis.photo.size[1],
            "notes": list(analysis.photo.notes),
        },
        "model": analysis.model_name,
        "view": geometry.view,
        "border": {"share": geometry.border_share, "note": border_note(geometry)},
        "input": analysis.input,
        "predictions": [asdict(prediction) for prediction in analysis.predictions],
        "prediction_note": analysis.prediction_note,
        **detections_json(analysis),
        "no_gates": analysis.no_gates,
        "layers": [
            {**layer, "statistics": asdict(by_name[layer["name"]])}
            for layer in layers_json(analysis)
            if layer["name"] in by_name
        ],
    }


def layers_json(analysis: Analysis) -> list[dict[str, Any]]:
    """Return what each layer is, without its values."""
    from cbam_viz.layer_names import titles

    called = titles(analysis.layers).layers
    return [_layer_json(one, called[one.name], analysis.geometry) for one in analysis.layers]


def _layer_json(layer: LayerAttention, title: str, geometry: Geometry) -> dict[str, Any]:
    from cbam_viz.images import cells_on_photo

    return {
        "name": layer.name,
        "title": title,
        "stage": layer.stage,
        "channels": None if layer.channel is None else layer.channel.shape[1],
        "map_size": None if layer.spatial is None else list(layer.spatial.shape[1:]),
        "cells_on_photo": None if layer.spatial is None else cells_on_photo(layer, geometry),
        "composition": layer.composition,
        "found_by": layer.found_by,
        "verified": layer.verified,
        "cells": None if layer.cells is None else asdict(layer.cells),
    }
