"""What a map is measured by, and in which direction that is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]
Group = Literal["removal", "confidence", "boxes", "sparseness"]
GROUPS: tuple[Group, ...] = ("removal", "confidence", "boxes", "sparseness")
REPLACEMENTS = ("blur", "mean")
"""What is put in the place of pixels: the picture under a blur, or the network's mean colour."""


@dataclass(frozen=True)
class Measure:
    """One number of a map on a photo."""

    name: str
    group: Group
    better: Better
    short: str = ""
    """The head of its column where maps are rows; empty if it has none there."""

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is, 0 where neither is."""
        return {"higher": 1, "lower": -1, "neither": 0}[self.better]


def _removal(kind: str) -> tuple[Measure, ...]:
    return (
        Measure(f"deletion ({kind})", "removal", "lower"),
        Measure(f"insertion ({kind})", "removal", "higher"),
        Measure(f"combined ({kind})", "removal", "higher", f"Combined ({kind})"),
        Measure(f"tie effect ({kind})", "removal", "neither"),
    )


def _boxes(name: str, short: str = "") -> tuple[Measure, ...]:
    return (
        Measure(name, "boxes", "higher", short),
        Measure(f"{name} (1 - map)", "boxes", "higher"),
    )


MEASURES: dict[str, Measure] = {
    one.name: one
    for one in (
        *(measure for kind in REPLACEMENTS for measure in _removal(kind)),
        Measure("drop", "confidence", "lower", "Drop"),
        Measure("increase", "confidence", "higher", "Increase"),
        *_boxes("energy inside"),
        *_boxes("energy above minimum", "Energy"),
        *_boxes("pointing", "Pointing"),
        *_boxes("IoU at equal area", "IoU"),
        Measure("sparseness", "sparseness", "neither", "Gini"),
    )
}
