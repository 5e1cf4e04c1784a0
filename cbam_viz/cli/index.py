"""`index.csv` of an export: what became of each image, kept while the run goes on, read to go on.

Every image has a row from the start, which says that it is not done until it is. A row names the
settings that its files were made with, so that a later run knows what it may leave as it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cbam_viz
from cbam_viz.cli.files import write
from cbam_viz.errors import StoreError

if TYPE_CHECKING:
    from cbam_viz.cli.jobs import Job, Outcome, Target
    from cbam_viz.models import LoadedModel

INDEX = "index.csv"
COLUMNS = (
    "source",
    "folder",
    "sha256",
    "prediction",
    "probability",
    "error",
    "files",
    "settings",
    "note",
    "input",
    "border",
)
NOT_YET = "Not done yet."
_DIGITS = 12
"""Hexadecimal, of each half of the settings."""
_SHARE = 20
"""Writing the index takes at most one part in so many of the time."""

Row = Mapping[str, str]


def options_mark(job: Job) -> str:
    """Return a mark of all that decides the files but the network: equal marks, equal options."""
    options = asdict(job)
    for other in ("choice", "force"):
        options.pop(other)
    return _mark(cbam_viz.__version__, json.dumps(options, sort_keys=True))


def network_mark(loaded: LoadedModel, factory: str | None) -> str:
    """Return a mark of a network: its weights, input and class names, and the code of its parts."""
    from cbam_viz.batch.settings import network_parts

    return _mark(*network_parts(loaded, factory).values())


def read_index(path: Path) -> dict[str, Row]:
    """Return the rows of an earlier run by source; none if there was no run.

    Raises:
        StoreError: there is a file of that name which is no such index.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, strict=True)
            rows = list(reader)
            known = tuple(reader.fieldnames or ()) == COLUMNS
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise StoreError(f"{path.parent} is a file, and no folder for results.") from error
    except (OSError, ValueError, csv.Error):
        known = False
    if not known or any(None in row or None in row.values() for row in rows):
        raise StoreError(
            f"{path} exists already and is no index that this version of cbam-viz wrote. Choose "
            "another place, or give --force to overwrite."
        )
    return {row["source"]: row for row in rows}


def refuse_other(path: Path, rows: Mapping[str, Row], mark: str, what: str) -> None:
    """Raise StoreError unless all results were made with settings that `mark` is a part of."""
    settings = [row["settings"] for row in rows.values() if not row["error"]]
    if any(mark not in text.split("-") for text in settings):
        raise StoreError(
            f"{path} and its results exist already, made with {what}. Choose another place, or "
            "give --force to do all of them again."
        )


def is_done(row: Row | None, output: Path) -> bool:
    """Whether a row's results are all there."""
    if row is None or row["error"]:
        return False
    return all((output / row["folder"] / name).is_file() for name in _names(row))


def refuse_changed(row: Row, source: Path) -> None:
    """Raise StoreError if the image is not the one that the row was made of."""
    if hash_of(source) not in (None, row["sha256"]):
        raise StoreError(
            f"{source} has changed since its results were written to {row['folder']}. Remove them, "
            "choose another place, or give --force to do all images again."
        )


def hash_of(path: Path) -> str | None:
    """Return the SHA-256 of a file; None if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


class Index:
    """The rows of a run, on disk after every batch; rows of other images are kept as they are."""

    def __init__(self, output: Path, settings: str, before: Mapping[str, Row]) -> None:
        self.output = output
        self.settings = settings
        self._rows = dict(before)
        self._rest = 0.0

    def begin(self, planned: Sequence[Target], todo: Iterable[Target]) -> None:
        """Write the index for the first time, so that a folder that takes no files is noticed."""
        coming = {
            source_text(target.source): self._row(
                source=source_text(target.source), folder=target.folder.name, error=NOT_YET
            )
            for target in todo
        }
        order = [source_text(target.source) for target in planned]
        rows = {**self._rows, **coming}
        self._rows = {source: rows.pop(source) for source in order} | rows
        self.write()

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Enter what became of some images; write if that has not just been done."""
        for outcome in outcomes:
            source = source_text(outcome.source)
            self._rows[source] = self._filled(source, outcome)
        if time.monotonic() >= self._rest:
            self.write()

    def write(self) -> None:
        """Write all rows as they stand; readers never see half of them. Raises StoreError."""
        began = time.monotonic()
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows.values())
        write(self.output / INDEX, text.getvalue().encode("utf-8", "backslashreplace"), force=True)
        now = time.monotonic()
        self._rest = now + _SHARE * (now - began)

    def rows_of(self, targets: Iterable[Target]) -> list[dict[str, Any]]:
        """Describe images that were done before, for JSON."""
        rows = [self._rows[source_text(target.source)] for target in targets]
        return [
            {
                "source": row["source"],
                "sha256": row["sha256"],
                "files": [str(self.output / row["folder"] / name) for name in _names(row)],
            }
            for row in rows
        ]

    def _filled(self, source: str, outcome: Outcome) -> Row:
        if outcome.error:
            return self._row(source=source, error=outcome.error)
        best = outcome.predictions[0] if outcome.predictions else {}
        return self._row(
            source=source,
            folder=outcome.folder.name,
            sha256=outcome.sha256 or "",
            prediction=best.get("label", ""),
            probability=str(best.get("probability", "")),
            note=outcome.prediction_note,
            input=outcome.fed,
            border=outcome.border,
            files=" ".join(path.name for path in outcome.files),
        )

    def _row(self, **known: str) -> Row:
        return {**dict.fromkeys(COLUMNS, ""), **known, "settings": self.settings}


def source_text(source: Path) -> str:
    """Return a source as the index spells it: bytes of its name that are no UTF-8 spelt out."""
    return str(source).encode("utf-8", "backslashreplace").decode()


def _names(row: Row) -> list[str]:
    return row["files"].split()


def _mark(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
