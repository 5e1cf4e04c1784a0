"""`cbam-viz figure --run`: a watched training in place of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cbam_viz.cli.figure_files import files_wanted, write_figure
from cbam_viz.cli.figure_options import Wishes, spec_of
from cbam_viz.cli.own_code import command_line

LAYOUTS = ("training", "epochs")


def figure_of_run(
    place: str,
    epochs: Sequence[int],
    wishes: Wishes,
    outputs: Sequence[Path],
    *,
    extras: Sequence[str],
    dpi: int,
    force: bool,
) -> tuple[Any, list[Path]]:
    """Draw and write it; the figure, and the files.

    Raises:
        click.UsageError: for a layout that is not of a run.
        CbamVizError: for a run that cannot be read, or an epoch that it has not.
    """
    from cbam_viz.errors import FigureError
    from cbam_viz.figures import build
    from cbam_viz.figures.beside.bundle import Sources
    from cbam_viz.figures.beside.runs import run_source
    from cbam_viz.figures.content.watched import study_for
    from cbam_viz.figures.make import check
    from cbam_viz.runs import open_run

    layout = wishes.layout or LAYOUTS[0]
    if layout not in LAYOUTS:
        raise click.UsageError(f"Of a run there are the layouts {' and '.join(LAYOUTS)}.")
    wanted, stem = files_wanted(outputs, extras, force=force)
    run = open_run(place)
    missing = [number for number in epochs if number not in run.numbers]
    if missing:
        known = f"{run.numbers[0]} to {run.numbers[-1]}"
        raise FigureError(
            f"{run.path} has no {run.called(missing[0])}; it has {len(run.numbers)}, of {known}."
        )
    probes = [Path(one.name) for one in run.record.probes]
    spec = spec_of(replace(wishes, layout=layout), probes)
    check(spec, len(probes))
    study = study_for(run, spec, sorted(set(epochs)))
    built = build(spec, study)
    source = run_source(run, study, stem.parent)
    origin = Sources((), (), command=("cbam-viz", *command_line()), run=source)
    return built, write_figure(built, outputs, wanted, origin, dpi=dpi, force=force)
