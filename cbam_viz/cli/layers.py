"""`cbam-viz layers`: which attention layers a network has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.input_options import also_option, input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_one_image, read_image
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import json_option, model_options, view_option
from cbam_viz.cli.report import layers_json, print_limits
from cbam_viz.cli.text import print_json, print_table

if TYPE_CHECKING:
    from cbam_viz.images import View


@click.command(
    short_help="List the attention layers of a network.",
    epilog="\b\nExamples:\n  cbam-viz layers\n  cbam-viz layers --architecture resnet50 --json",
)
@input_options
@model_options
@click.option(
    "--image",
    default="sample:cat",
    show_default=True,
    metavar="IMAGE",
    help="The layers are those that run for this photo, and maps have its size in --view whole.",
)
@view_option
@reading_options
@also_option
@json_option
def layers(
    *,
    choice: ModelChoice,
    image: str,
    view: View,
    reading: Reading,
    also: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the attention layers of a network in order of execution."""
    paths = [find_one_image(one) for one in (image, *also)]
    from cbam_viz.analysis import analyse

    loaded = open_network(choice, view=view)
    photo, *others = [read_image(path, reading, loaded) for path in paths]
    analysis = analyse(loaded, photo, view, also=others)
    print_limits(analysis.attention)
    described = layers_json(analysis)
    if as_json:
        print_json(described)
        return
    rows = [
        (
            layer["name"],
            "–" if layer["title"] == layer["name"] else layer["title"],
            "–" if layer["channels"] is None else str(layer["channels"]),
            "–"
            if layer["map_size"] is None
            else _map_size(layer["map_size"], layer["cells_on_photo"]),
            layer["composition"],
            layer["found_by"] if layer["verified"] else f"{layer['found_by']}, not verified",
        )
        for layer in described
    ]
    print_table(("layer", "place", "channels", "map", "gates", "found by"), rows, right="channels")


def _map_size(size: list[int], on_photo: int) -> str:
    rows, columns = size
    some = on_photo < rows * columns
    return f"{rows} × {columns}" + (f", {on_photo} on the photo" if some else "")
