"""What is told of a run as CSV and as plain data for JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from cbam_viz.runs.findings import Finding
from cbam_viz.runs.numbers import COLUMNS, GateNumbers
from cbam_viz.runs.reading import Run

NUMBERS = "numbers.csv"


def numbers_csv(numbers: Sequence[GateNumbers], unit: str) -> str:
    """A line for every gate at every epoch; what is not defined is left empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((unit, "layer", "gate", "photos", "values", *COLUMNS))
    for one in numbers:
        told = (_plain(getattr(one, name)) for name in COLUMNS)
        written = ("" if value is None else value for value in told)
        writer.writerow((one.number, one.layer, one.part, one.photos, one.count, *written))
    return text.getvalue()


def as_json(run: Run, numbers: Sequence[GateNumbers], found: Sequence[Finding]) -> dict[str, Any]:
    """All of it, with the findings."""
    record = run.record
    return {
        "run": str(run.path),
        "made_by": record.made_by,
        "model": record.model,
        "unit": record.unit,
        "order": record.order,
        "numbers_of": list(run.numbers),
        "photos": [one.name for one in record.probes],
        "layers": list(run.layers),
        "findings": [
            {
                "kind": one.kind,
                "layer": one.layer,
                "gate": one.part,
                "began": one.began,
                "until": one.until,
                "lasts": one.lasts,
                "at_start": one.at_start,
                "sentence": one.sentence,
            }
            for one in found
        ],
        "gates": [
            {
                record.unit: one.number,
                "layer": one.layer,
                "gate": one.part,
                **{name: _plain(getattr(one, name)) for name in COLUMNS},
            }
            for one in numbers
        ],
    }


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
