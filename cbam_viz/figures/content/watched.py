"""A watched training as a study: its epochs are what networks are elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import Study
from cbam_viz.runs.reading import Run, spaced

SHOWN_EPOCHS = 8
"""Columns of maps in a strip."""


def study_of_run(
    run: Run, numbers: Sequence[int] | None = None, photos: int | None = None
) -> Study:
    """The probe photos at these epochs, or at all of them, on the run's own copies of the photos.

    With `photos` the first so many alone.

    Raises:
        StoreError: an epoch's file is damaged.
    """
    chosen = tuple(run.numbers if numbers is None else numbers)
    by_epoch = [run.analyses(number)[:photos] for number in chosen]
    return Study(tuple(zip(*by_epoch, strict=True)), chosen, run.record.unit)


def study_for(run: Run, spec: FigureSpec, numbers: Sequence[int] = ()) -> Study:
    """What a figure is made of where nobody says more: of maps some epochs, and one photo where
    layers are its rows.
    """
    if spec.layout != "epochs":
        return study_of_run(run, numbers or None)
    shown = tuple(numbers) or spaced(run.numbers, SHOWN_EPOCHS)
    return study_of_run(run, shown, None if len(spec.named_layers) == 1 else 1)
