"""The runs on offer, opened, and what is kept of them: by their files, for all visitors alike."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import streamlit as st

from cbam_viz._places import SAMPLE, runs_folder
from cbam_viz._text import few
from cbam_viz.analysis import Analysis
from cbam_viz.errors import CheckpointError
from cbam_viz.layer_names import both_names, titles
from cbam_viz.runs import (
    Finding,
    GateNumbers,
    Run,
    find_run,
    findings,
    open_run,
    run_numbers,
    sample_runs,
)
from cbam_viz.runs.order import files_in
from cbam_viz.runs.record import EPOCHS, RUN
from cbam_viz.ui import folders


@dataclass(frozen=True)
class Opened:
    """A run as it is now. Equal to another one if nothing has been written since."""

    name: str
    version: str
    """Of `run.json` and the epochs' files: their names, sizes and times."""
    run: Run = field(compare=False, repr=False)

    @property
    def key(self) -> Hashable:
        """What results are kept by."""
        return str(self.run.path), self.version


def names() -> list[str]:
    """Runs of the folder that have been measured, and then those that come along."""
    own = [one.name for one in folders.offered(runs_folder()) if find_run(one) is not None]
    return [*own, *(SAMPLE + name for name in sample_runs())]


def waiting() -> list[str]:
    """Folders with checkpoints of which nothing has been measured."""
    return [
        one.name
        for one in folders.offered(runs_folder())
        if find_run(one) is None and _has_checkpoints(one)
    ]


def title(name: str) -> str:
    """What to call a run in the list."""
    return f"{name.removeprefix(SAMPLE)} (example)" if name.startswith(SAMPLE) else name


def _has_checkpoints(folder: Path) -> bool:
    try:
        return bool(files_in(folder))
    except CheckpointError:
        return False


def opened(name: str) -> Opened:
    """Open a run of the list. Raises StoreError, in a sentence, for one that cannot be read."""
    place = name if name.startswith(SAMPLE) else str(runs_folder() / name)
    folder = find_run(place)
    version = "" if folder is None else folders.version(folder, _files(folder))
    return Opened(name, version, _open(place, version))


def _files(folder: Path) -> Iterator[Path]:
    yield folder / RUN
    yield from sorted((folder / EPOCHS).glob("[0-9]*.parquet"))


@st.cache_resource(max_entries=8, show_spinner=False)
def _open(place: str, version: str) -> Run:
    return open_run(place)


def numbers(run: Opened) -> list[GateNumbers]:
    """Every gate at every epoch."""
    return _numbers(run.key, run.run)


@st.cache_data(max_entries=8, show_spinner="Reading the whole run …")
def _numbers(key: Hashable, _run: Run) -> list[GateNumbers]:
    return run_numbers(_run)


def titles_of(run: Opened) -> dict[str, str]:
    """What to call the run's layers."""
    return titles(analysis(run, run.run.numbers[-1], 0).attention.values()).layers


def found(run: Opened) -> list[Finding]:
    """What went wrong, the gravest that lasts first."""
    called = titles_of(run)
    return [
        replace(one, layer=both_names(one.layer, called[one.layer]))
        for one in findings(numbers(run), run.run.record.unit)
    ]


def analysis(run: Opened, number: int, photo: int) -> Analysis:
    """One probe photo at one epoch."""
    return _analyses(run.key, number, run.run)[photo]


@st.cache_resource(max_entries=200, show_spinner=False)
def _analyses(key: Hashable, number: int, _run: Run) -> tuple[Analysis, ...]:
    return _run.analyses(number)


def told(run: Run) -> str:
    """What it is, in a sentence or two."""
    record = run.record
    photos = few([one.name for one in record.probes])
    count = len(run.numbers)
    return (
        f"{count} {record.unit}{'' if count == 1 else 's'} of {record.model} on {photos}. "
        f"{record.order}"
    )
