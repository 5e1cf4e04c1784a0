"""`cbam-viz cost`: what CBAM adds to a network."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import json_option, model_options
from cbam_viz.cli.text import print_json, print_table, say

if TYPE_CHECKING:
    from cbam_viz.costs import ModelCost


# Before 8.4, click has no ParamType[...] at run time.
class Size(click.ParamType):  # type: ignore[type-arg]
    """`224` or `224x320`: height and width."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return height and width."""
        sides = str(value).lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) < 10_000 for side in sides):
            self.fail(f"{value!r} is no size; write 224 or, height first, 224x320.", param, ctx)
        return int(sides[0]), int(sides[-1])


@click.command(
    short_help="Count parameters and FLOPs with and without CBAM.",
    epilog="\b\nExamples:\n  cbam-viz cost --architecture resnet50\n"
    "  cbam-viz cost --checkpoint mine.pth --size 384 --json",
)
@model_options
@click.option(
    "--size",
    type=Size(),
    metavar="PIXELS",
    help="Of the input: 224, or height x width as 224x320. [default: the network's own]",
)
@json_option
def cost(choice: ModelChoice, size: tuple[int, int] | None, as_json: bool) -> None:
    """Count parameters and FLOPs of a network with and without CBAM, and of each CBAM layer."""
    from cbam_viz.costs import cost as count

    result = count(open_network(choice).model, size)
    if as_json:
        described = {
            f"{part}{what}": getattr(result, f"{part}{what}")
            for part in ("", "plain_", "cbam_")
            for what in ("parameters", "flops")
        }
        layers = [asdict(layer) for layer in result.layers]
        print_json({"input_size": list(result.input_size), **described, "layers": layers})
        return
    _print(result)


def _print(result: ModelCost) -> None:
    height, width = result.input_size
    rows = [
        ("without CBAM", *_cells(result.plain_parameters, result.plain_flops)),
        ("CBAM", *_cells(result.cbam_parameters, result.cbam_flops)),
        ("with CBAM", *_cells(result.parameters, result.flops)),
    ]
    print_table(("", "parameters", "FLOPs", ""), rows, right="parameters FLOPs")
    say(
        f"\nFLOPs of convolutions and matrix products for one picture of {width} × {height} "
        "pixels, two for each multiply-add.\n"
    )
    layers = [(layer.name, *_cells(layer.parameters, layer.flops)) for layer in result.layers]
    print_table(("layer", "parameters", "FLOPs", ""), layers, right="parameters FLOPs")


def _cells(parameters: int, flops: int) -> tuple[str, str, str]:
    return f"{parameters:,}", f"{flops:,}", f"{parameters / 1e6:.2f} M, {flops / 1e9:.3f} G"
