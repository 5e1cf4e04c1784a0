"""`cbam-viz export`: gates, numbers and overlays of many images as files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz.cli.batch import keep_memory, run
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.drawing import Style
from cbam_viz.cli.files import refuse_existing
from cbam_viz.cli.inputs import find_images
from cbam_viz.cli.jobs import Job, Outcome, Target
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import (
    force_option,
    json_option,
    model_options,
    picture_options,
    view_option,
    window_option,
)
from cbam_viz.cli.results import FORMATS, INDEX, folder_names, write_index
from cbam_viz.cli.text import print_json

if TYPE_CHECKING:
    from cbam_viz.images import View


SOME_FAILED = 1
BATCH = 8
"""Images that go to a worker together, and through the network if their sizes are equal."""
WORTH_A_PROCESS = 48
"""Fewer images than this for each worker are done before a further one has started."""


@click.command(
    short_help="Write gates, numbers and overlays of many images.",
    epilog="\b\nExamples:\n"
    "  cbam-viz export photos/ -o results\n"
    "  cbam-viz export 'photos/*.jpg' extra.png -o results --format png --layer all\n"
    "  cbam-viz export photos/ -o results --workers 2 --json > run.json",
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE|FOLDER|PATTERN...")
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the files go; made if it is not there.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    default=("npz", "statistics"),
    show_default=True,
    help="npz, csv: all gates; statistics: the layers' numbers; png, jpg: overlays (jpg is several "
    "times as fast). May be repeated.",
)
@click.option(
    "--layer",
    "-l",
    "names",
    multiple=True,
    metavar="NAME",
    help="Layer of the overlays by name or place (0, -1), or 'all'; may be repeated. "
    "[default: the last one whose map is not too coarse]",
)
@model_options
@view_option
@window_option
@picture_options
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Processes, each with one thread and its own copy of the network. "
    "[default: one for each core if there are enough images]",
)
@force_option
@json_option
def export(
    *,
    sources: tuple[str, ...],
    output: Path,
    formats: tuple[str, ...],
    names: tuple[str, ...],
    choice: ModelChoice,
    view: View,
    window: tuple[float, float] | None,
    style: Style,
    workers: int | None,
    force: bool,
    as_json: bool,
) -> int:
    """Write the gates, numbers and overlays of all images into a folder.

    Images that cannot be read are named on standard error and skipped; the exit status is then 1.
    """
    job = Job(choice, view, names, formats, style, force, window)
    images = find_images(sources)
    planned = [
        Target(image, output / name)
        for image, name in zip(images, folder_names(images), strict=True)
    ]
    refuse_existing([output / INDEX, *(target.folder for target in planned)], force)
    keep_memory()
    loaded = open_network(choice)
    click.echo(loaded.spec.sentence(view), err=True)
    batches = [planned[i : i + BATCH] for i in range(0, len(planned), BATCH)]
    count = workers or _useful_workers(len(planned), len(batches))
    outcomes = _follow(run(job, batches, count, loaded), len(planned))
    order = {target.source: place for place, target in enumerate(planned)}
    outcomes.sort(key=lambda outcome: order[outcome.source])
    write_index(output, outcomes, force=force)
    return _conclude(outcomes, output, as_json)


def _useful_workers(images: int, batches: int) -> int:
    return max(1, min(os.cpu_count() or 1, images // WORTH_A_PROCESS, batches))


def _follow(batches: Any, total: int) -> list[Outcome]:
    """Show the progress while batches come in; say at once which image failed."""
    from tqdm import tqdm

    outcomes: list[Outcome] = []
    with tqdm(total=total, unit="image", disable=not sys.stderr.isatty()) as bar:
        for batch in batches:
            outcomes += batch
            bar.update(len(batch))
            for outcome in batch:
                for note in outcome.notes:
                    bar.write(f"{outcome.source}: {note}", file=sys.stderr)
                if outcome.error:
                    bar.write(f"Skipped {outcome.source}: {outcome.error}", file=sys.stderr)
    return outcomes


def _conclude(outcomes: Sequence[Outcome], output: Path, as_json: bool) -> int:
    failed = [outcome for outcome in outcomes if outcome.error]
    if as_json:
        print_json(
            {
                "folder": str(output),
                "images": [_json(outcome) for outcome in outcomes if not outcome.error],
                "failed": [{"source": str(o.source), "error": o.error} for o in failed],
            }
        )
    else:
        done = len(outcomes) - len(failed)
        lost = f"; {len(failed)} could not be read or written" if failed else ""
        click.echo(f"{done} of {len(outcomes)} images exported to {output}{lost}.")
    return SOME_FAILED if failed else 0


def _json(outcome: Outcome) -> dict[str, Any]:
    return {
        "source": str(outcome.source),
        "sha256": outcome.sha256,
        "notes": list(outcome.notes),
        "input": outcome.fed,
        "border": outcome.border,
        "predictions": list(outcome.predictions),
        "prediction_note": outcome.prediction_note,
        "files": [str(file) for file in outcome.files],
    }
