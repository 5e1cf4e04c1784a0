"""`cbam-viz checkpoints`: the networks at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cbam_viz._numbers import file_size
from cbam_viz.cli.choice import FOLDER_VARIABLE, checkpoints_folder
from cbam_viz.cli.options import json_option
from cbam_viz.cli.text import print_json, print_table


@click.command(
    short_help="List the networks in checkpoints/.", epilog="\b\nExample:\n  cbam-viz checkpoints"
)
@json_option
def checkpoints(as_json: bool) -> None:
    """List the checkpoints in checkpoints/ with the numbers of their cards.

    Any of the names can be given to --checkpoint; the starred one is the default. Another folder
    can be named in the environment variable CBAM_VIZ_CHECKPOINTS.
    """
    from cbam_viz._suffixes import bare_name
    from cbam_viz.models import list_checkpoints

    folder = checkpoints_folder()
    entries = list_checkpoints(folder)
    if as_json:
        print_json(
            [
                {"path": str(entry.path), "default": entry.default, **_about(entry.metadata)}
                for entry in entries
            ]
        )
        return
    if not entries:
        click.echo(f"There are none in {folder}; {FOLDER_VARIABLE} can name another folder.")
        return
    rows = [
        (
            bare_name(entry.path) + (" *" if entry.default else ""),
            entry.architecture or "–",
            _accuracy(entry.metadata),
            file_size(entry.size),
            entry.title,
        )
        for entry in entries
    ]
    print_table(("name", "network", "top-1", "size", "title"), rows, right="top-1 size")


def _about(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a script may want of a card: everything but the preprocessing."""
    return {key: value for key, value in metadata.items() if key not in ("default", "schema")}


def _accuracy(metadata: Mapping[str, Any]) -> str:
    top1 = (metadata.get("accuracy") or {}).get("top1")
    return f"{top1:.1%}" if isinstance(top1, int | float) else "–"
