"""What a detector found, in text and in JSON, and how much of each map lies on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cbam_viz.cli.text import print_table, say

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis

SHOWN = 20
"""Detections that are printed; JSON has all."""


def print_detections(analysis: Analysis) -> None:
    """Print what was found, best first; nothing of a network that detects nothing."""
    found = analysis.detections
    if found is None:
        return
    if not len(found):
        say("Nothing was found on this photo.")
    rows = [
        (
            str(number),
            f"{row['score']:.1%}",
            row["label"],
            ", ".join(f"{side:.0f}" for side in row["box"]),
        )
        for number, row in enumerate(found.rows[:SHOWN], 1)
    ]
    one, what = ("box", "class") if found.kind == "objects" else ("region", "class")
    if rows:
        print_table((one, "score", what, "left, top, right, bottom"), rows, right=f"{one} score")
    more = len(found) - len(rows)
    for sentence in (f"{more} more; --json has all." if more else "", found.note):
        if sentence:
            say(sentence)


def print_shares(analysis: Analysis) -> None:
    """Print the share of each map inside what was found."""
    from cbam_viz.shares import shares_inside

    shares = shares_inside(analysis)
    if not shares:
        return
    found = analysis.detections
    where = "masks" if found is not None and found.masks is not None else "boxes"
    say(f"\nShare of each map, and of its pattern (less the lowest value), inside the {where}:")
    head = ("layer", "map", "pattern", "area")
    rows = [
        (one.layer, f"{one.inside:.1%}", f"{one.pattern:.1%}", f"{one.area:.1%}")
        for one in shares.values()
    ]
    print_table(head, rows, right=" ".join(head[1:]))


def detections_json(analysis: Analysis) -> dict[str, Any]:
    """Return the same as plain data; `detections` is None of a network that detects nothing."""
    from cbam_viz.shares import shares_inside

    found = analysis.detections
    shares: Mapping[str, Any] = shares_inside(analysis)
    return {
        "detections": None if found is None else found.rows,
        "detections_note": "" if found is None else found.note,
        "shares": {
            name: {
                "inside": one.inside,
                "outside": one.outside,
                "area": one.area,
                "pattern": one.pattern,
            }
            for name, one in shares.items()
        },
    }
