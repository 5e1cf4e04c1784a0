"""`cbam-viz export`: gates, numbers and overlays of many images as files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz.batch.machine import keep_memory
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.drawing import Style
from cbam_viz.cli.files import refuse_existing, refuse_unwritable
from cbam_viz.cli.index import (
    INDEX,
    Index,
    Row,
    is_done,
    network_mark,
    options_mark,
    read_index,
    refuse_changed,
    refuse_other,
    source_text,
)
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_images
from cbam_viz.cli.jobs import Job, Outcome, Target
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import (
    force_option,
    json_option,
    model_options,
    picture_options,
    view_option,
)
from cbam_viz.cli.results import (
    FORMATS,
    LONGEST,
    PICTURES,
    folder_names,
    is_result,
    remove_results,
)
from cbam_viz.cli.text import print_json, say
from cbam_viz.cli.workers import run
from cbam_viz.errors import NoAttentionError

if TYPE_CHECKING:
    from cbam_viz.images import View
    from cbam_viz.models import LoadedModel


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
@input_options
@model_options
@view_option
@reading_options
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
    reading: Reading,
    style: Style,
    workers: int | None,
    force: bool,
    as_json: bool,
) -> int:
    """Write the gates, numbers and overlays of all images into a folder.

    Images that cannot be read or shown are named on standard error and skipped; the exit status is
    then 1. The same command given again does what is not done yet, after Ctrl-C for instance.
    """
    job = Job(choice, view, names, formats, style, force, reading)
    if names and not set(formats) & set(PICTURES):
        click.echo(
            "--layer chooses the layers of overlays (--format png or jpg); the files have all.",
            err=True,
        )
    images = [image for image in find_images(sources) if not is_result(image, output)]
    planned = [
        Target(image, output / name)
        for image, name in zip(images, folder_names(images), strict=True)
    ]
    path, mark = output / INDEX, options_mark(job)
    before = {} if force else read_index(path)
    refuse_other(path, before, mark, "other options or by another version")
    todo = _not_done(planned, before, output, force=force)
    refuse_unwritable([path, *(target.folder / LONGEST for target in todo)])
    keep_memory()
    loaded = open_network(choice, view=view)
    network = network_mark(loaded, choice.factory)
    refuse_other(path, before, network, "another network")
    if not force:
        for target in todo:  # what an earlier run has begun there
            remove_results(target.folder)
    index = Index(output, f"{mark}-{network}", before)
    index.begin(planned, todo)
    earlier = _earlier(planned, todo)
    outcomes = _follow(job, todo, workers, loaded, index)
    return _conclude(outcomes, index, earlier, as_json)


def _not_done(
    planned: Sequence[Target], before: Mapping[str, Row], output: Path, *, force: bool
) -> list[Target]:
    """Return what is left to do after an earlier run.

    Raises:
        StoreError: an image has changed, or there is something in its folder that the earlier run
            did not make.
    """
    todo: list[Target] = []
    new: list[Path] = []
    for target in planned:
        row = before.get(source_text(target.source))
        if is_done(row, output):
            assert row is not None
            refuse_changed(row, target.source)
            continue
        todo.append(target)
        if row is None or row["folder"] != target.folder.name:
            new.append(target.folder)
    refuse_existing(new, force)
    return todo


def _earlier(planned: Sequence[Target], todo: Sequence[Target]) -> list[Target]:
    """Return what an earlier run has done, and say how much that is."""
    left = set(todo)
    earlier = [target for target in planned if target not in left]
    if earlier:
        click.echo(f"{len(earlier)} of {len(planned)} images were done before.", err=True)
    return earlier


def _useful_workers(images: int, batches: int) -> int:
    return max(1, min(os.cpu_count() or 1, images // WORTH_A_PROCESS, batches))


def _follow(
    job: Job, todo: Sequence[Target], workers: int | None, loaded: LoadedModel, index: Index
) -> list[Outcome]:
    """Do the work; return what came of it in order. The index is true however the work ends."""
    batches = [todo[i : i + BATCH] for i in range(0, len(todo), BATCH)]
    count = workers or _useful_workers(len(todo), len(batches))
    outcomes: list[Outcome] = []
    try:
        with closing(run(job, batches, count, loaded)) as work:
            _collect(work, outcomes, len(todo), index)
    except BaseException as stop:
        done = sum(not outcome.error for outcome in outcomes)
        if not isinstance(stop, (click.UsageError, NoAttentionError)):
            again = "The same command without --force" if job.force else "The same command"
            click.echo(
                f"{done} of {len(todo)} images are done, and {index.output / INDEX} lists them. "
                f"{again} does the rest.",
                err=True,
            )
        raise
    finally:
        index.write()
        if not job.force:  # with it, files of an earlier run stay until they are overwritten
            for target in {*todo} - {Target(one.source, one.folder) for one in outcomes}:
                remove_results(target.folder)
    order = {target.source: place for place, target in enumerate(todo)}
    return sorted(outcomes, key=lambda outcome: order[outcome.source])


def _collect(
    work: Iterable[list[Outcome]], outcomes: list[Outcome], total: int, index: Index
) -> None:
    """Show the progress while batches come in; say at once which image failed."""
    from tqdm import tqdm

    with tqdm(total=total, unit="image", disable=not sys.stderr.isatty()) as bar:
        for batch in work:
            outcomes += batch
            index.add(batch)
            bar.update(len(batch))
            for outcome in batch:
                for note in outcome.notes:
                    bar.write(f"{outcome.source}: {note}", file=sys.stderr)
                if outcome.error:
                    bar.write(f"Skipped {outcome.source}: {outcome.error}", file=sys.stderr)


def _conclude(
    outcomes: Sequence[Outcome], index: Index, earlier: Sequence[Target], as_json: bool
) -> int:
    failed = [outcome for outcome in outcomes if outcome.error]
    if as_json:
        print_json(
            {
                "folder": str(index.output),
                "images": [_json(outcome) for outcome in outcomes if not outcome.error],
                "done_before": index.rows_of(earlier),
                "failed": [{"source": str(o.source), "error": o.error} for o in failed],
            }
        )
    else:
        done = len(outcomes) - len(failed)
        lost = f"; {len(failed)} could not be read, shown or written" if failed else ""
        more = f"; {len(earlier)} were done before" if earlier else ""
        say(f"{done} of {len(outcomes)} images exported to {index.output}{lost}{more}.")
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
