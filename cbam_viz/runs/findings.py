"""Gates that went wrong in a training, and since when: collapsed, saturated, constant, no numbers.

A gate is judged at each epoch by its numbers on all probe photos together:

- **collapsed**: at least 99 % of it lies within 0.05 of 0: it holds everything back.
- **saturated**: at least 99 % of it is below 0.05 or above 0.95, and it is not collapsed. Gates
  beyond 0 to 1, which do not end in a sigmoid, have no such ends and are not judged.
- **constant**: all its values, of every photo and every channel or place, lie within 0.01, and it
  is not collapsed: it could be one number.
- **not finite**: some of its values are NaN or infinite.

0.05, 0.95 and 0.01 are those of `cbam_viz.statistics`, with their reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from cbam_viz._numbers import number as digits
from cbam_viz.runs.numbers import GateNumbers, Part
from cbam_viz.statistics import FLAT_RANGE, SATURATED_HIGH, SATURATED_LOW

Kind = Literal["not finite", "collapsed", "saturated", "constant"]
KINDS: tuple[Kind, ...] = ("not finite", "collapsed", "saturated", "constant")
"""The gravest first."""
ALL = 0.99
"""Share of a gate from which on it is told that all of it is so."""
WORDS: Mapping[Part, str] = {"channel": "channel weights", "spatial": "spatial map"}


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong with one gate over some epochs in a row."""

    kind: Kind
    layer: str
    part: Part
    began: int
    """The first epoch of these."""
    until: int
    """The last one of these."""
    lasts: bool
    """Whether `until` is the run's last epoch: it is still so."""
    at_start: bool
    """Whether `began` is the first epoch that was measured: it may have been so before."""
    numbers: GateNumbers
    """Of the gate at `until`."""
    unit: str = "epoch"

    @property
    def sentence(self) -> str:
        """What, where, since when, and by what number."""
        several = self.part == "channel"
        now, then = ("are", "were") if several else ("is", "was")
        subject = f"The {WORDS[self.part]} of {self.layer} {now if self.lasts else then}"
        return f"{subject} {self.kind} {self._when()}: {self._why()}."

    def _when(self) -> str:
        began = f"{self.unit} {self.began}"
        if self.at_start:
            began += ", the first that was measured"
        if self.lasts:
            return f"since {began}"
        if self.began == self.until:
            return f"at {began}"
        return f"from {began}{',' if self.at_start else ''} to {self.until}"

    def _why(self) -> str:
        one = self.numbers
        of = "of them" if self.part == "channel" else "of it"
        if self.kind == "not finite":
            several = "value is no number" if one.not_finite == 1 else "values are no numbers"
            return f"{one.not_finite:,} {several} on the probe photos"
        if self.kind == "collapsed":
            return (
                f"{_percent(one.near_zero)} {of} within {SATURATED_LOW:g} of 0 on the probe "
                "photos, so the layer lets hardly anything pass"
            )
        if self.kind == "saturated":
            return (
                f"{_percent(one.closed)} {of} below {SATURATED_LOW:g} and {_percent(one.opened)} "
                f"above {SATURATED_HIGH:g} on the probe photos, where a sigmoid hardly learns"
            )
        what = "channel" if self.part == "channel" else "place"
        photos = f"all {one.photos} probe photos" if one.photos > 1 else "the one probe photo"
        return (
            f"{digits((one.minimum + one.maximum) / 2)} for every {what} of {photos}, within "
            f"{FLAT_RANGE:g}"
        )


def states(one: GateNumbers) -> tuple[Kind, ...]:
    """What is wrong with a gate at one epoch, the gravest first; empty if nothing."""
    found: list[Kind] = ["not finite"] if one.not_finite else []
    collapsed = one.near_zero >= ALL
    if collapsed:
        found.append("collapsed")
    elif one.minimum >= 0 and one.maximum <= 1 and one.saturated >= ALL:
        found.append("saturated")
    if not collapsed and one.count * one.photos > 1 and one.extent < FLAT_RANGE:
        found.append("constant")
    return tuple(found)


def findings(numbers: Iterable[GateNumbers], unit: str = "epoch") -> list[Finding]:
    """What is wrong now, the gravest first, and then what was wrong for a time."""
    gates: dict[tuple[str, Part], list[GateNumbers]] = {}
    for one in numbers:
        gates.setdefault((one.layer, one.part), []).append(one)
    found = [finding for rows in gates.values() for finding in _of_gate(rows, unit)]
    return sorted(found, key=lambda one: (not one.lasts, KINDS.index(one.kind)))


def _of_gate(rows: list[GateNumbers], unit: str) -> Iterable[Finding]:
    first, last = rows[0].number, rows[-1].number
    for kind in KINDS:
        began: int | None = None
        for n, one in enumerate(rows):
            if kind not in states(one):
                began = None
                continue
            began = one.number if began is None else began
            if n + 1 == len(rows) or kind not in states(rows[n + 1]):
                yield Finding(
                    kind,
                    one.layer,
                    one.part,
                    began,
                    until=one.number,
                    lasts=one.number == last,
                    at_start=began == first,
                    numbers=one,
                    unit=unit,
                )


def _percent(share: float) -> str:
    """Whole per cent, where only all is 100 and only nothing is 0."""
    rounded = min(99, round(share * 100)) if share < 1 else 100
    return "less than 1 %" if share > 0 and rounded == 0 else f"{rounded} %"
