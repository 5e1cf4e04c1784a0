"""A watched training as a study: its epochs are what networks are elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.figures.content.values import Study
from cbam_viz.runs.reading import Run


def study_of_run(run: Run, numbers: Sequence[int] | None = None) -> Study:
    """The probe photos at these epochs, or at all of them, on the run's own copies of the photos.

    Raises:
        StoreError: an epoch's file is damaged.
    """
    chosen = tuple(run.numbers if numbers is None else numbers)
    by_epoch = [run.analyses(number) for number in chosen]
    return Study(tuple(zip(*by_epoch, strict=True)), chosen, run.record.unit)
