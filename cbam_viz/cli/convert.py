"""`cbam-viz convert`: the CBAM authors' checkpoints for timm's networks."""

from __future__ import annotations

from pathlib import Path

import click

from cbam_viz.cli.files import refuse_existing
from cbam_viz.cli.options import force_option


@click.command(
    epilog="\b\nExample:\n  cbam-viz convert RESNET50_CBAM.pth -o resnet50_cbam.safetensors"
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.safetensors",
    help="Where the converted checkpoint goes.",
)
@force_option
def convert(source: Path, output: Path, force: bool) -> None:
    """Convert SOURCE, a checkpoint of the CBAM authors' code, to timm's layout.

    The result is a safetensors file that --checkpoint and the app take without further options;
    its logits and gates are those of the original. SOURCE is read without running anything in it.
    """
    if output.suffix.lower() != ".safetensors":
        raise click.BadParameter("The output's name must end in .safetensors.", param_hint="-o")
    refuse_existing([output], force)
