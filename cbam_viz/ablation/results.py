"""What `effects` gives: a score with gates replaced beside the unchanged one, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cbam_viz.ablation.scores import SHARES, Values

Unit = Literal["gate", "stage", "all"]
SMALL = 0.005
"""Of a share: what is told as no change."""
_WORDS = {"channel": "channel weights", "spatial": "spatial map", "both": "gates"}


@dataclass(frozen=True, eq=False)
class Effect:
    """What a score is when some gates are replaced."""

    unit: Unit
    name: str
    """Of the layer or stage; empty for all."""
    kind: Literal["channel", "spatial", "both"]
    score: str
    before: Values
    """The unchanged network's, one number a photo."""
    after: Values
    interval: tuple[float, float] | None
    """Of the mean change, by the bootstrap over photos; None for one photo."""

    @property
    def changes(self) -> Values:
        """After less before, one number a photo."""
        return self.after - self.before

    @property
    def mean(self) -> float:
        """The mean change."""
        return float(self.changes.mean())

    @property
    def gates(self) -> str:
        """The gates in words, such as `the spatial map of layer4.1.se`."""
        word = _WORDS[self.kind]
        if self.unit == "all":
            return f"all {word.replace('map', 'maps')}"
        plural = word.replace("map", "maps") if self.unit == "stage" else word
        return f"the {plural} of {self.name}"


@dataclass(frozen=True, eq=False)
class Effects:
    """All effects that were measured, in order of execution."""

    rows: tuple[Effect, ...]
    replaced_by: str
    photos: tuple[str, ...]
    """Names of the photos, or their numbers."""
    scores: tuple[str, ...]
    targets: tuple[int, ...] | None
    """The class of each photo that scores are of; None where no score is of a class."""
    level: float
    seed: int
    whole: str
    """Why the whole network ran for each gate; empty if what is unchanged was left out."""
    skipped: tuple[str, ...] = ()
    """Sentences on gates that could not be replaced."""

    def ranked(self, score: str | None = None) -> list[Effect]:
        """The effects of one score, largest mean change first."""
        wanted = self.scores[0] if score is None else score
        rows = [row for row in self.rows if row.score == wanted]
        return sorted(rows, key=lambda row: -abs(row.mean))

    def sentence(self, score: str | None = None) -> str:
        """What the single gates' effects amount to, in a sentence or two."""
        wanted = self.scores[0] if score is None else score
        single = [row for row in self.ranked(wanted) if row.unit == "gate"]
        if not single:
            return ""
        first = single[0]
        if _small(first):
            return f"No single gate changes the {wanted} on {_photos(len(self.photos))}."
        told = (
            f"{_without(self.replaced_by)} {first.gates}, the {wanted} "
            f"{_moves(first, self.level)} on {_photos(len(self.photos))}"
        )
        if first.interval is not None and first.interval[0] <= 0 <= first.interval[1]:
            told += ", which may be chance"
        nothing = [row for row in single[1:] if _small(row)]
        if nothing:
            others = len(nothing) - 1
            more = f" and {others} other{'s' if others > 1 else ''}" if others else ""
            how = "without" if self.replaced_by == "one" else "in place of"
            told += f"; {how} {nothing[-1].gates}{more} nothing changes"
        return told + "."


def _small(row: Effect) -> bool:
    if row.score in SHARES:
        return abs(row.mean) < SMALL
    if row.interval is not None:
        return row.interval[0] <= 0 <= row.interval[1]
    return abs(row.mean) < 1e-3 * max(1.0, float(np.abs(row.before).mean()))


def _moves(row: Effect, level: float) -> str:
    before, after = float(row.before.mean()), float(row.after.mean())
    verb = "falls" if after < before else "rises"
    told = f"{verb} from {number_text(row.score, before)} to {number_text(row.score, after)}"
    if row.interval is None:
        return told
    return f"{told} ({level * 100:g} % interval of the change: {interval_text(row)})"


def number_text(score: str, value: float) -> str:
    """A score in words: shares in percent."""
    return f"{value:.1%}".replace("%", " %") if score in SHARES else f"{value:.3g}"


def change_text(score: str, value: float) -> str:
    """A change of a score: of shares in percentage points."""
    return f"{_plain(score, value)} points" if score in SHARES else _plain(score, value)


def interval_text(row: Effect) -> str:
    """The interval of the mean change; a dash where there is none."""
    if row.interval is None:
        return "–"
    low, high = row.interval
    return f"{_plain(row.score, low)} to {change_text(row.score, high)}"


def _plain(score: str, value: float) -> str:
    if score in SHARES:
        return f"{round(100 * value, 1) + 0.0:+.1f}"  # no minus before a zero
    return f"{value + 0.0:+.3g}"


def _without(text: str) -> str:
    return "Without" if text == "one" else f"With {text} in place of"


def _photos(count: int) -> str:
    return "this photo" if count == 1 else f"{count} photos"
