"""A comparison as CSV and as plain data for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cbam_viz.comparison.comparing import Compared, Comparison
from cbam_viz.comparison.pairing import RULE, WORDS
from cbam_viz.statistics import GateStatistics, LayerStatistics

NUMBERS = ("mean", "spread", "minimum", "maximum", "closed", "opened", "entropy")
AGREEMENT = ("pearson", "spearman", "overlap", "mean_absolute_difference", "largest_difference")
COLUMNS = (
    "layer",
    "gate",
    "side",
    "network",
    "photo",
    "its_layer",
    "paired",
    *NUMBERS,
    *(f"{name}_difference" for name in NUMBERS),
    *AGREEMENT,
    "note",
)
"""Of the table: a row for each layer, gate and side. Differences are to the first side."""


def csv_text(found: Comparison, layers: Sequence[str] = ()) -> str:
    """One row for each layer, gate and side; shares and correlations as numbers. See `COLUMNS`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in table(found, layers):
        writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return out.getvalue()


def table(found: Comparison, layers: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The rows of the table, of all layers or of some: the reference's, then the other sides'."""
    for name in layers or found.layers:
        others = [one for side in found.others if (one := found.compared(side, name)) is not None]
        layer = found.layer(found.reference, name)
        assert layer is not None
        own = found.sides[found.reference].statistics(layer)
        for gate in ("spatial", "channel"):
            numbers: GateStatistics | None = getattr(own, gate)
            if numbers is None:
                continue
            yield {**_head(found, found.reference, name, gate, own), **_numbers(numbers)}
            for one in others:
                yield from _row(found, one, name, gate)


def as_json(found: Comparison, layers: Sequence[str] = ()) -> dict[str, Any]:
    """What was compared, how layers were paired, what is predicted, and the table's rows."""
    return {
        "rule": RULE,
        "reference": found.reference,
        "sides": [
            {
                "title": side.title,
                "network": side.analysis.model_name,
                "photo": side.analysis.photo.name,
                "photo_sha256": side.analysis.photo.sha256,
                "view": side.analysis.geometry.view,
                "input": side.analysis.input,
                "predictions": [asdict(one) for one in side.analysis.predictions],
                "prediction_note": side.analysis.prediction_note,
                "detections": None
                if side.analysis.detections is None
                else side.analysis.detections.rows,
                "gates": bool(side.layers),
                "no_gates": side.analysis.no_gates,
            }
            for side in found.sides
        ],
        "pairs": [
            {
                "layer": name,
                "beside": [
                    None if (match := pairs[name]) is None else asdict(match)
                    for pairs in found.pairs
                ],
            }
            for name in layers or found.layers
        ],
        "table": list(table(found, layers)),
    }


def _row(found: Comparison, one: Compared, name: str, gate: str) -> Iterator[dict[str, Any]]:
    """A side's row; none if its layer has no such gate."""
    first: GateStatistics | None = getattr(one.first, gate)
    second: GateStatistics | None = getattr(one.second, gate)
    if second is None or first is None:
        return
    row = _head(found, one.side, name, gate, one.second)
    row |= {"paired": WORDS[one.match.way], **_numbers(second)}
    for number in NUMBERS:
        before, after = getattr(first, number), getattr(second, number)
        known = before is not None and after is not None
        row[f"{number}_difference"] = after - before if known else None
    yield row | (_of_maps(one) if gate == "spatial" else _of_channels(one))


def _head(
    found: Comparison, side: int, name: str, gate: str, own: LayerStatistics
) -> dict[str, Any]:
    analysis = found.sides[side].analysis
    return {
        "layer": name,
        "gate": gate,
        "side": side,
        "network": analysis.model_name,
        "photo": analysis.photo.name,
        "its_layer": own.name,
    }


def _numbers(gate: GateStatistics) -> dict[str, float | None]:
    return {name: getattr(gate, name) for name in NUMBERS}


def _of_maps(one: Compared) -> dict[str, Any]:
    found = one.difference
    if found is None:
        return {"note": one.no_difference}
    return {
        "pearson": found.agreement.pearson,
        "spearman": found.agreement.spearman,
        "overlap": found.agreement.overlap,
        "mean_absolute_difference": found.mean_absolute,
        "largest_difference": found.largest,
    }


def _of_channels(one: Compared) -> dict[str, Any]:
    found = one.channels
    assert found is not None
    return {"pearson": found.pearson, "spearman": found.spearman, "note": found.kinship.text}
