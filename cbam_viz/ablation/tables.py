"""Effects as CSV, JSON and a LaTeX table (booktabs)."""

from __future__ import annotations

import csv
import io
from typing import Any

from cbam_viz.ablation.results import Effect, Effects
from cbam_viz.ablation.scores import SHARES

COLUMNS = ("unit", "layer", "gate", "score", "before", "after", "change", "low", "high", "photos")
FORMATS = ("csv", "json", "tex")
BETTER = {
    "logit": "a fall means that the gates serve the class",
    "probability": "a fall means that the gates serve the class",
    "accuracy": "a fall means that the gates serve accuracy",
    "agreement": "a fall means that other classes come out on top",
    "loss": "a rise means that the gates serve the class",
}
"""How a change is to be read."""


def csv_text(found: Effects) -> str:
    """One row for each group of gates and score; shares as numbers from 0 to 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(row) for row in found.rows)
    return out.getvalue()


def as_json(found: Effects) -> dict[str, Any]:
    """The same with each photo's numbers, and what it was measured by."""
    return {
        "replaced_by": found.replaced_by,
        "scores": list(found.scores),
        "reading": {score: BETTER[score] for score in found.scores if score in BETTER},
        "interval": f"bootstrap over photos, {found.level:.0%}, seed {found.seed}",
        "photos": list(found.photos),
        "targets": None if found.targets is None else list(found.targets),
        "sentences": [sentence for score in found.scores if (sentence := found.sentence(score))],
        "not_replaced": list(found.skipped),
        "effects": [
            {
                **dict(zip(COLUMNS, _cells(row), strict=True)),
                "each_before": row.before.tolist(),
                "each_after": row.after.tolist(),
            }
            for row in found.rows
        ],
    }


def latex_text(found: Effects, score: str | None = None) -> str:
    """A table for a paper; needs the package booktabs."""
    wanted = found.scores[0] if score is None else score
    share = wanted in SHARES
    unit = "percentage points" if share else "units of the score"
    lines = [
        f"% Gates replaced by {found.replaced_by}; change of {wanted} in {unit},",
        f"% mean and {found.level:.0%} bootstrap interval over {len(found.photos)} photos, seed "
        f"{found.seed}.",
        r"\begin{tabular}{llrr}",
        r"\toprule",
        rf"Layer & Gate & Change of {_escaped(wanted)} & {found.level * 100:g}\,\% interval \\",
        r"\midrule",
    ]
    last = None
    for row in found.rows:
        if row.score != wanted:
            continue
        if last is not None and row.unit != last:
            lines.append(r"\midrule")
        last = row.unit
        factor = 100 if share else 1
        ends = "--" if row.interval is None else (
            f"${_signed(row.interval[0] * factor)}$ to ${_signed(row.interval[1] * factor)}$"
        )  # fmt: skip
        name = "all layers" if row.unit == "all" else row.name
        change = f"${_signed(row.mean * factor)}$"
        lines.append(f"{_escaped(name)} & {row.kind} & {change} & {ends} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cells(row: Effect) -> tuple[Any, ...]:
    low, high = row.interval or (None, None)
    return (
        row.unit, row.name, row.kind, row.score, float(row.before.mean()), float(row.after.mean()),
        row.mean, low, high, len(row.before),
    )  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.3g}" if abs(value) < 1 else f"{value:+.1f}"


def _escaped(text: str) -> str:
    for sign in "&%$#_{}":
        text = text.replace(sign, "\\" + sign)
    return text
