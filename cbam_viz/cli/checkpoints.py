"""`cbam-viz checkpoints`: the networks at hand."""

from __future__ import annotations

import click

from cbam_viz.cli.options import json_option


@click.command(epilog="\b\nExample:\n  cbam-viz checkpoints")
@json_option
def checkpoints(as_json: bool) -> None:
    """List the checkpoints in checkpoints/ with the numbers of their cards.

    Another folder can be named in the environment variable CBAM_VIZ_CHECKPOINTS. Any of the names
    can be given to --checkpoint.
    """
