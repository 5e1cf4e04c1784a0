"""Strokes of a brush over the cells of a map: what a browser says of them, and what they amount to.

Nothing here knows Streamlit. What comes from a browser is hostile until proven.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cbam_viz.ablation import Painted

MOST_STROKES, MOST_PAIRS = 200, 100_000
"""More than the component keeps of strokes, and of cells in them."""

Stroke = tuple[tuple[int, float | None], ...]
"""Cells by number, row by row, each with what was painted; None for its own value again."""


@dataclass(frozen=True)
class Brushed:
    """Numbers in some cells of a map, the gate's own values in all others: a `Replacement`."""

    shape: tuple[int, int]
    cells: tuple[tuple[int, float], ...]
    """By number, row by row."""

    def __call__(self, gate: Tensor) -> Tensor:
        """The gate with what was painted."""
        mask, values = torch.zeros(
            2, self.shape[0] * self.shape[1], dtype=torch.float32, device="cpu"
        )
        for cell, value in self.cells:
            mask[cell], values[cell] = 1, value
        return Painted(mask.view(self.shape), values.view(self.shape))(gate)

    @property
    def text(self) -> str:
        """What it is."""
        return "what was painted"


@dataclass(frozen=True)
class Strokes:
    """Strokes one after another, of which the first `done` count: the others were undone."""

    strokes: tuple[Stroke, ...] = ()
    done: int = 0
    revision: int = 0
    """How often something was painted, undone or done again."""

    def brushed(self, shape: tuple[int, int]) -> Brushed:
        """What they leave painted on a map (h, w)."""
        cells: dict[int, float] = {}
        for cell, value in (pair for stroke in self.strokes[: self.done] for pair in stroke):
            if value is None:
                cells.pop(cell, None)
            else:
                cells[cell] = value
        return Brushed(shape, tuple(sorted(cells.items())))


def read(sent: Any, count: int, low: float, high: float) -> Strokes | None:
    """Strokes that a browser sent, on a map of so many cells; None for anything else."""
    if not isinstance(sent, dict):
        return None
    strokes: Any = sent.get("strokes")
    done: Any = sent.get("done")
    revision: Any = sent.get("revision")
    if not isinstance(strokes, list) or len(strokes) > MOST_STROKES:
        return None
    if not (_whole(done, len(strokes)) and _whole(revision, 2**31)):
        return None
    if not all(isinstance(one, list) for one in strokes) or sum(map(len, strokes)) > MOST_PAIRS:
        return None
    if not all(_is_pair(pair, count, low, high) for stroke in strokes for pair in stroke):
        return None
    made = tuple(tuple((cell, value) for cell, value in stroke) for stroke in strokes)
    return Strokes(made, done, revision)


def _whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_pair(pair: Any, count: int, low: float, high: float) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or not _whole(pair[0], count - 1):
        return False
    value = pair[1]
    if value is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high
