"""Increase and drop in confidence: what is left of a prediction where a map alone lets through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import MetricError
from cbam_viz.metrics._checks import as_map
from cbam_viz.metrics.removal import Picture


@dataclass(frozen=True)
class Confidence:
    """The target's probability for the whole picture and for what a map lets through.

    Chattopadhay et al., "Grad-CAM++", WACV 2018, section 5.1. Their means over photos are the
    average drop and the rate of increase. A map of ones has a drop of 0 and no increase, so that
    neither says anything without a map of chance beside it.
    """

    whole: float
    through: float

    @property
    def drop(self) -> float:
        """Share of the probability that is lost, 0 to 1; the lower, the better the map."""
        return max(0.0, self.whole - self.through) / self.whole

    @property
    def increase(self) -> float:
        """1 if the probability rises, else 0; the higher, the better the map."""
        return float(self.through > self.whole)


def let_through(picture: Picture, values: npt.ArrayLike, replaced: Picture) -> Picture | None:
    """The picture (C, H, W) where a map (H, W) is high, `replaced` where it is 0 or less.

    In between they are mixed, by the map's share of its maximum. None for a map without a value
    above 0, which lets nothing through.

    Raises:
        MetricError: shapes differ.
    """
    found = as_map(values)
    if found.shape != picture.shape[1:] or replaced.shape != picture.shape:
        raise MetricError(
            f"A map of {found.shape} does not go with pictures of {picture.shape} and "
            f"{replaced.shape}."
        )
    if found.max() <= 0:
        return None
    share = (found.clip(0) / found.max()).astype(np.float32)
    mixed: Picture = replaced + share * (picture - replaced)
    return mixed


def confidence(whole: float, through: float) -> Confidence:
    """Of two probabilities.

    Raises:
        MetricError: they are none, or the first is 0, of which nothing can be lost.
    """
    if not (0 < whole <= 1 and 0 <= through <= 1):
        raise MetricError(
            f"Confidence is measured by probabilities above 0; {whole:g} and {through:g} are none."
        )
    return Confidence(whole, through)
