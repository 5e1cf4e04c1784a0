"""What the shares of a gate's variance mean, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbam_viz._text import few

if TYPE_CHECKING:
    from cbam_viz.dataset.gates import GateSummary

ROUNDING = 1e-5
"""Gates of one photo in two batches may differ by so much: less is no difference between photos."""
NEARLY = 0.05
"""Of a gate's variance between photos and classes; below it the gate is close to a constant."""


def in_words(summary: GateSummary) -> str:
    """Say what a gate's variance is made of: whether it is attention, and to what."""
    if summary.photos < 2:
        return "one photo: nothing to compare"
    if is_constant(summary):
        return "the same for every photo: a constant"
    return _of_shares(**summary.shares, labelled=len(summary.classes) > 1)


def without_entropy(summaries: Sequence[GateSummary]) -> list[str]:
    """Say of which gates there is no entropy, and why: a sentence, if there are any."""
    names = [f"{one.layer} ({one.part})" for one in summaries if math.isnan(one.numbers["entropy"])]
    if not names:
        return []
    return [
        f"There is no entropy of {few(names)}: some gates there are negative, or those of a photo "
        "all 0, and so no distribution."
    ]


def is_constant(summary: GateSummary) -> bool:
    """Whether a gate is the same for every photo, of which there are at least two."""
    return summary.photos > 1 and float(summary.spread.max()) <= ROUNDING


def _of_shares(pattern: float, classes: float, photos: float, *, labelled: bool) -> str:
    if classes + photos < NEARLY:
        return "nearly the same for every photo"
    if photos >= 0.5:
        return "differs most between photos" + (" of a class" if labelled else "")
    if classes >= 0.5:
        return "differs most between classes"
    if pattern >= 0.5:
        return f"mostly one pattern; {100 * (classes + photos):.0f} % differs"
    return "part pattern, part classes, part photos" if labelled else "part pattern, part photos"
