"""Which values the ends of a colour map stand for; never a hidden rescaling.

A gate of 0.5 that is stretched to fill the colours looks like strong attention where there is none.
So a scale always carries what it was made from, and says so in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import RenderError

ScaleKind = Literal["absolute", "shared", "per map"]

SCALE_KINDS: tuple[ScaleKind, ...] = get_args(ScaleKind)

_WORDS: dict[ScaleKind, str] = {
    "absolute": "absolute",
    "shared": "shared by",
    "per map": "this map alone",
}


@dataclass(frozen=True)
class Scale:
    """The range of values that a colour map spans."""

    kind: ScaleKind
    low: float
    high: float
    """Equal to `low` where all values are: then everything gets the middle colour."""
    among: str = "all layers"
    """Of a shared scale: what shares it, in words."""

    def __post_init__(self) -> None:
        """Refuse ranges that are none; raises RenderError."""
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if self.kind not in SCALE_KINDS or not finite or self.low > self.high:
            raise RenderError(
                f"A scale {self.kind!r} from {self.low} to {self.high} cannot be drawn. Choose one "
                f"of {', '.join(SCALE_KINDS)} and finite ends in order."
            )

    @property
    def range_label(self) -> tuple[str, str]:
        """Both ends as text, with as many decimals as it takes to tell them apart."""
        span = self.high - self.low
        decimals = 0 if span == 0 else max(0, 1 - math.floor(math.log10(span)))
        texts = (f"{end:.{min(decimals, 9)}f}" for end in (self.low, self.high))
        if span == 0:
            return f"{self.low:.4g}", f"{self.high:.4g}"
        low, high = (text.rstrip("0").rstrip(".") if "." in text else text for text in texts)
        return low, high

    @property
    def label(self) -> str:
        """The scale in words, such as `absolute, 0 to 1`."""
        low, high = self.range_label
        kind = f"{_WORDS[self.kind]} {self.among}" if self.kind == "shared" else _WORDS[self.kind]
        return f"{kind}, {low} to {high}"

    def share_outside(self, values: npt.NDArray[Any]) -> float:
        """Share of values beyond the ends, in [0, 1]; they get the colour of the nearer end.

        A sigmoid's rounding in half precision is none: less than a 256th of the range.
        """
        slack = (self.high - self.low) / 512
        return float(np.mean((values < self.low - slack) | (values > self.high + slack)))


def absolute_scale() -> Scale:
    """0 to 1, what a sigmoid can give: comparable between maps, layers, photos and networks."""
    return Scale("absolute", 0.0, 1.0)


def shared_scale(maps: Iterable[npt.NDArray[Any]], among: str = "all layers") -> Scale:
    """From the lowest to the highest finite value of all maps; 0 to 1 if there is none.

    `among` says in words whose maps these are.
    """
    return Scale("shared", *_extremes(maps), among)


def gate_scale(maps: Iterable[npt.NDArray[Any]], among: str = "all maps here") -> Scale:
    """0 to 1 for all of them; wider where a finite value lies beyond, as without a sigmoid."""
    low, high = _extremes(maps)
    if low >= 0 and high <= 1:
        return absolute_scale()
    return Scale("shared", min(0.0, low), max(1.0, high), among)


def map_scale(map2d: npt.NDArray[Any]) -> Scale:
    """From the lowest to the highest finite value of one map; 0 to 1 if there is none."""
    return Scale("per map", *_extremes([map2d]))


def make_scale(
    kind: ScaleKind, map2d: npt.NDArray[Any], all_maps: Iterable[npt.NDArray[Any]] = ()
) -> Scale:
    """Choose by kind: the scale for `map2d`, one of `all_maps`. Raises RenderError if unknown."""
    if kind == "absolute":
        return absolute_scale()
    if kind == "shared":
        return shared_scale([map2d, *all_maps])
    if kind == "per map":
        return map_scale(map2d)
    raise RenderError(f"There is no scale {kind!r}. Choose one of {', '.join(SCALE_KINDS)}.")


def _extremes(maps: Iterable[npt.NDArray[Any]]) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for values in maps:
        finite = np.asarray(values)[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 1.0)
