"""`cbam-viz steps`: what one layer computed on one photo, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.files import refuse_existing, refuse_no_drawings, refuse_unwritable, write
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_one_image, read_image
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import (
    dpi_option,
    force_option,
    json_option,
    model_options,
    view_option,
)
from cbam_viz.cli.report import layer_name
from cbam_viz.cli.text import print_json, say

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.computation import GateKind
    from cbam_viz.images import Photo, View
    from cbam_viz.models import LoadedModel
    from cbam_viz.steps import Walk, Wish

WISHES = {"most-taken": "most taken", "largest": "largest", "smallest": "smallest"}


def _channel(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> int | Wish | None:
    """A number or one of the words."""
    if value is None or value in WISHES:
        return WISHES.get(value or "most-taken")  # type: ignore[return-value]
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is no channel. Give a number, or {', '.join(WISHES)}.")
    return int(value)


def _cell(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """ROW,COLUMN from 1 as a row and a column from 0."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) < 10**6 for part in parts):
        raise click.BadParameter(f"{value!r} is no cell. Give its row and column, such as 3,5.")
    return int(parts[0]) - 1, int(parts[1]) - 1


@click.command(
    short_help="Show what one layer computes, step by step.",
    epilog="\b\nExamples:\n"
    "  cbam-viz steps photo.jpg\n"
    "  cbam-viz steps photo.jpg --layer layer4.0.se -o steps.pdf\n"
    "  cbam-viz steps photo.jpg --cell 3,5 --channel largest\n"
    "  cbam-viz steps photo.jpg --model mycbam.py:net --layer -1 -o mine.pdf",
)
@click.argument("image")
@input_options
@model_options
@view_option
@reading_options
@click.option(
    "--layer",
    "-l",
    metavar="NAME",
    help="Layer by name or place (0, -1). [default: the one to look at first on this image]",
)
@click.option(
    "--channel",
    metavar="N|WORD",
    callback=_channel,
    help="Channel that the numbers follow: its index, or most-taken, largest, smallest: the one "
    "from which its weight takes most, or that of the largest or smallest weight. "
    "[default: most-taken]",
)
@click.option(
    "--cell",
    metavar="ROW,COLUMN",
    callback=_cell,
    help="Cell that the numbers follow, counted from 1 as they are printed. [default: where the "
    "map is highest on the photo]",
)
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the steps into this file, .pdf, .svg, .png or .tiff; may be repeated. Without it, "
    "they are printed.",
)
@click.option(
    "--venue", default="free", show_default=True, metavar="NAME", help="Type and width; see figure."
)
@click.option(
    "--width",
    default="text",
    show_default=True,
    metavar="column|text|MM",
    help="Width of the drawing.",
)
@dpi_option
@force_option
@json_option
def steps(
    *,
    image: str,
    choice: ModelChoice,
    view: View,
    reading: Reading,
    layer: str | None,
    channel: int | Wish | None,
    cell: tuple[int, int] | None,
    outputs: tuple[Path, ...],
    venue: str,
    width: str,
    dpi: int,
    force: bool,
    as_json: bool,
) -> None:
    """Follow one channel and one cell of IMAGE through a layer: equations, sizes and numbers.

    The steps are those that the network's code ran, whatever it looks like. At the end: what is
    predicted without the channel weights, and without the spatial map.
    """
    refuse_no_drawings(outputs)
    path = find_one_image(image)
    refuse_existing(outputs, force)
    refuse_unwritable(outputs)
    network = open_network(choice, view=view)
    photo = read_image(path, reading, network)
    analysis, walk = _walk(network, photo, view, layer, channel=channel, cell=cell)
    outcomes = _outcomes(network, analysis, walk)
    files = _drawn(walk, analysis, outcomes, outputs, venue=venue, width=width, dpi=dpi)
    written = [write(output, files[output], force=force) for output in outputs]
    if as_json:
        print_json({**_json(walk, analysis, outcomes), "files": [str(one) for one in written]})
        return
    if not written:
        _print(walk, analysis, outcomes)
    for one in written:
        say(f"Wrote {one}.")


def _walk(
    network: LoadedModel,
    photo: Photo,
    view: View,
    wanted: str | None,
    *,
    channel: int | Wish | None,
    cell: tuple[int, int] | None,
) -> tuple[Analysis, Walk]:
    from cbam_viz.analysis import analyse
    from cbam_viz.statistics import layer_to_show
    from cbam_viz.steps import analyse_steps, walk

    first = analyse(network, photo, view)
    if wanted is None:
        name = layer_to_show(first.layers, geometry=first.geometry).name
    else:
        name = layer_name(first.attention, wanted)
    analysis = analyse_steps(network, photo, name, view)
    layer = analysis.attention[name]
    followed = walk(layer, network.model, analysis.geometry, channel=channel, cell=cell)
    return analysis, followed


def _outcomes(network: LoadedModel, analysis: Analysis, walk: Walk) -> dict[GateKind, Analysis]:
    """The photo without each gate of the layer."""
    from cbam_viz.ablation import analyse_with

    gates = dict.fromkeys(gate.kind for gate in walk.computation.gates)
    return {
        gate: analyse_with(network, analysis, {walk.layer.name: {gate: "one"}}) for gate in gates
    }


def _drawn(
    walk: Walk,
    analysis: Analysis,
    outcomes: dict[GateKind, Analysis],
    outputs: tuple[Path, ...],
    *,
    venue: str,
    width: str,
    dpi: int,
) -> dict[Path, bytes]:
    if not outputs:
        return {}
    from cbam_viz import figures
    from cbam_viz.cli.figure_options import width_of

    spec = figures.FigureSpec(venue=venue, width=width_of(width))  # type: ignore[arg-type]
    drawn = figures.steps(walk, analysis, outcomes=outcomes, spec=spec)
    return {one: figures.render(drawn, figures.format_of(one.name), dpi=dpi) for one in outputs}


def _print(walk: Walk, analysis: Analysis, outcomes: dict[GateKind, Analysis]) -> None:
    from cbam_viz.ablation import GATES
    from cbam_viz.steps.records import COUNTING

    say(f"{walk.layer.name} in {analysis.model_name}, on {analysis.photo.name}")
    say(f"Channel {walk.channel}: {walk.channel_reason}")
    say(f"{walk.where.capitalize()}: {walk.cell_reason}")
    say(COUNTING)
    for number, step in enumerate(walk.steps, 1):
        size = f"  ({step.sizes})" if step.sizes else ""
        say(f"\n{number}. {step.title}{size}")
        for line in filter(None, (step.formula, *step.arithmetic, step.note, step.reason)):
            say(f"   {line}")
    say("\nPrediction")
    say(f"   {_best(analysis)}")
    for gate, without in outcomes.items():
        say(f"   without {GATES[gate]}: {_best(without)}")


def _best(said: Analysis) -> str:
    if said.detections is not None and not said.predictions:
        return said.detections.told
    listed = [f"{one.label} {one.probability:.1%}" for one in said.predictions[:3]]
    return ", ".join(listed) or said.prediction_note or "none"


def _json(walk: Walk, analysis: Analysis, outcomes: dict[GateKind, Analysis]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "image": analysis.photo.name,
        "model": analysis.model_name,
        "input": analysis.input,
        "layer": walk.layer.name,
        "channel": walk.channel,
        "channel_reason": walk.channel_reason,
        "cell": list(walk.cell),
        "cell_reason": walk.cell_reason,
        "steps": [
            {
                "key": step.key,
                "gate": step.gate,
                "title": step.title,
                "formula": step.formula,
                "latex": step.equation,
                "sizes": step.sizes,
                "arithmetic": list(step.arithmetic),
                "numbers": [asdict(one) for one in step.numbers],
                "reason": step.reason,
            }
            for step in walk.steps
        ],
        "predictions": [asdict(one) for one in analysis.predictions],
        "detections": None if analysis.detections is None else analysis.detections.rows,
        "without": [
            {
                "gates": [gate],
                "predictions": [asdict(prediction) for prediction in one.predictions],
                "note": one.prediction_note,
                "detections": None if one.detections is None else one.detections.rows,
            }
            for gate, one in outcomes.items()
        ],
    }
