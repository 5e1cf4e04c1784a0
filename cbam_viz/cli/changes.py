"""What changed from one store to another, as 'stats --against' prints and writes it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbam_viz._text import counted, few
from cbam_viz.cli.text import print_table, say

if TYPE_CHECKING:
    from cbam_viz.dataset import Change, Store

COLUMNS = ("layer", "gate", "class", "mean", "profile", "spread")


def print_changes(changes: Sequence[Change]) -> None:
    """A line a gate, with the class that changed most."""
    rows = []
    for change in changes:
        most = change.most_changed
        told = f"{most} ({change.classes[most]:.3f})" if most and change.classes[most] else "–"
        numbers = (f"{change.mean:+.3f}", f"{change.profile:.3f}", f"{change.spread:+.3f}")
        rows.append((change.layer, change.part, *numbers, told))
    print_table(
        ("layer", "gate", "mean", "profile", "spread", "most changed class"),
        rows,
        "mean profile spread",
    )
    say(
        "\nmean: the other store's mean gate less this one's. profile: root mean squared "
        "difference of the mean gates, channel by channel or cell by cell, also in brackets for "
        "one class. spread: the other's mean standard deviation between photos less this one's."
    )


def changes_csv(changes: Sequence[Change]) -> str:
    """Every gate of all photos, and the profile of every class, a line each."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in changes:
        writer.writerow((one.layer, one.part, "", one.mean, one.profile, one.spread))
        writer.writerows(
            (one.layer, one.part, label, "", apart, "") for label, apart in one.classes.items()
        )
    return text.getvalue()


def not_compared(one: Store, other: Store, changes: Sequence[Change]) -> list[str]:
    """What to know of two stores: gates that only one has so, and photos that are not the same."""
    compared = {(change.layer, change.part) for change in changes}
    rest = dict.fromkeys(gate for store in (one, other) for gate in store.gates())
    names = [f"{layer} ({part})" for layer, part in rest if (layer, part) not in compared]
    notes = []
    if names:
        are = "is" if len(names) == 1 else "are"
        notes.append(
            f"{counted(len(names), 'gate')} {are} not compared, as not both stores have the same "
            f"of one shape in finite numbers: {few(names)}."
        )
    first, second = (sorted(store.photos["sha256"].to_pylist()) for store in (one, other))
    if first != second:
        notes.append("The stores are of different photos, which is a part of the difference.")
    return notes
