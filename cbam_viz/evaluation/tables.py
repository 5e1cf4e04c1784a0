"""An evaluation as CSV, JSON and a LaTeX table (booktabs)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cbam_viz.evaluation.curves import Curve
from cbam_viz.evaluation.summary import Against, Row, Summary, is_baseline

COLUMNS = (
    "map",
    "measure",
    "better",
    "mean",
    "low",
    "high",
    "photos",
    "less_gaussian",
    "less_gaussian_low",
    "less_gaussian_high",
    "beats_gaussian",
    "less_random",
    "less_random_low",
    "less_random_high",
    "beats_random",
)
ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "neither": ""}


def csv_text(found: Summary, settings: Mapping[str, Any]) -> str:
    """A row for each map and measure; the settings are columns of their own."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, *settings))
    writer.writerows((*_cells(row), *settings.values()) for row in found.rows)
    return out.getvalue()


def as_json(
    found: Summary, settings: Mapping[str, Any], curves: Sequence[Curve] = ()
) -> dict[str, Any]:
    """The same as plain data, with the curves, and what it amounts to in sentences."""
    return {
        "settings": dict(settings),
        "photos": found.photos,
        "interval": f"bootstrap over photos, {found.level:.0%}, seed {found.seed}",
        "sentences": found.sentences(),
        "rows": [dict(zip(COLUMNS, _cells(row), strict=True)) for row in found.rows],
        "curves": [asdict(one) for one in curves],
    }


def latex_text(found: Summary, settings: Mapping[str, Any]) -> str:
    """A table for a paper: a row for each map, a column for each measure; needs booktabs."""
    columns, maps = found.matrix
    heads = [f"{one.short}{ARROWS[one.better]}" for one in columns]
    lines = [
        *(f"% {key}: {' '.join(str(value).split())}" for key, value in settings.items()),
        f"% Mean [{found.level * 100:g} % bootstrap interval] over {found.photos} photos, seed "
        f"{found.seed}. Arrows point to the better side.",
        r"% $\dagger$: does not beat the Gaussian in the middle of the picture.",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(["Map", *heads]) + r" \\",
        r"\midrule",
    ]
    before = None
    for name, rows in maps:
        if before is not None and is_baseline(name) != is_baseline(before):
            lines.append(r"\midrule")
        before = name
        lines.append(" & ".join([_escaped(name), *map(_latex_cell, rows)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_cell(row: Row | None) -> str:
    if row is None:
        return "--"
    mark = r"$^\dagger$" if row.gaussian is not None and not row.gaussian.beats else ""
    if row.interval is None:
        return f"${row.mean:.3f}${mark}"
    low, high = row.interval
    return f"${row.mean:.3f}${mark} {{\\scriptsize[${low:.3f}$, ${high:.3f}$]}}"


def _cells(row: Row) -> tuple[Any, ...]:
    low, high = row.interval or (None, None)
    return (
        row.map,
        row.measure.name,
        row.measure.better,
        row.mean,
        low,
        high,
        row.photos,
        *_against(row.gaussian),
        *_against(row.random),
    )


def _against(found: Against | None) -> tuple[Any, ...]:
    if found is None:
        return (None,) * 4
    return (found.difference, *(found.interval or (None, None)), "yes" if found.beats else "no")


def _escaped(text: str) -> str:
    for sign in "&%$#_{}":
        text = text.replace(sign, "\\" + sign)
    return text
