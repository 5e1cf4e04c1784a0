"""A training run in a figure's manifest."""

from __future__ import annotations

from pathlib import Path

from cbam_viz._places import SAMPLE
from cbam_viz.errors import FigureError
from cbam_viz.figures.beside.manifest import RunSource, relative, sha256
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.content.watched import study_of_run
from cbam_viz.runs.reading import SAMPLES, Run, open_run
from cbam_viz.runs.record import epoch_path


def run_source(run: Run, study: Study, folder: Path) -> RunSource:
    """Name a run for a manifest in `folder`, with the digests of the epochs that the study has."""
    numbers = study.numbers
    own = run.path.parent == SAMPLES
    place = SAMPLE + run.path.name if own else relative(run.path, folder)
    digests = tuple(_digest(run, number) for number in numbers)
    return RunSource(place, numbers, digests, len(study.analyses))


def open_study(source: RunSource, folder: Path) -> Study:
    """Open a run of a manifest that lies in `folder`, and check that it is the same one.

    Raises:
        FigureError: if an epoch is gone or has changed.
        StoreError: if the run is gone or cannot be read.
    """
    sample = source.folder.startswith(SAMPLE)
    run = open_run(source.folder if sample else folder / source.folder)
    if len(source.numbers) != len(source.sha256):
        raise FigureError("The manifest does not have a digest for each epoch of its run.")
    for number, digest in zip(source.numbers, source.sha256, strict=True):
        if number not in run.numbers or _digest(run, number) != digest:
            raise FigureError(
                f"{run.called(number).capitalize()} of the run {run.path} is gone, or has changed "
                "since the figure was made. Put the old files back, or make a new figure."
            )
    return study_of_run(run, source.numbers, source.photos)


def _digest(run: Run, number: int) -> str:
    path = epoch_path(run.path, number)
    try:
        return sha256(path.read_bytes())
    except OSError as error:
        raise FigureError(f"{path} cannot be read: {error.strerror}.") from error
