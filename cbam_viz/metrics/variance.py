"""Is a gate about the photo at all? Where its variance lies, over many photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import MetricError
from cbam_viz.metrics._checks import as_map

CONSTANT = 1e-6
"""A standard deviation below this, of gates in [0, 1], is rounding and no variance."""
FIXED = 0.9
"""From this share on, a gate is said to be the same for every photo."""


@dataclass(frozen=True)
class VarianceShares:
    """The three parts of a gate's variance over photos and channels (or cells); their sum is 1.

    A two-way analysis of variance without repetition: gate = mean + pattern of all photos + level
    of the photo + what is left, the photo's own pattern.
    """

    within: float | None
    """Of patterns that differ from photo to photo; None, like all, for a gate without variance."""
    between: float | None
    """Of the photos' levels: the gate is higher everywhere on some photos."""
    fixed: float | None
    """Neither: of the pattern that all photos share."""
    deviation: float
    """Standard deviation of all values."""
    mean: float
    photos: int

    @property
    def is_constant(self) -> bool:
        """True if hardly anything of the gate depends on the photo."""
        return self.fixed is None or self.fixed >= FIXED

    @property
    def sentence(self) -> str:
        """The same in words."""
        if self.fixed is None or self.within is None or self.between is None:
            return (
                f"This gate is {self.mean:.3g} everywhere and for all {self.photos} photos: a "
                "constant, not attention."
            )
        told = (
            f"Of this gate's variance over {self.photos} photos, {self.within:.0%} lies in "
            f"patterns within single photos, {self.between:.0%} in levels that differ "
            f"between photos, and {self.fixed:.0%} is the same for every photo"
        ).replace("%", " %")
        return told + (": nearly a constant, hardly attention." if self.is_constant else ".")


def variance_shares(gates: npt.ArrayLike) -> VarianceShares:
    """Part the variance of gates (N, C) or (N, h, w), one row a photo.

    Raises:
        MetricError: there are fewer than two photos, or values that are no finite numbers.
    """
    values = as_map(gates)
    if values.ndim < 2 or len(values) < 2:
        raise MetricError("Whether a gate depends on the photo needs at least two photos.")
    flat = values.reshape(len(values), -1)
    mean = float(flat.mean())
    pattern, level = flat.mean(0) - mean, flat.mean(1) - mean
    own = flat - mean - pattern[None] - level[:, None]
    parts = [float((part**2).mean()) for part in (own, level, pattern)]
    total = sum(parts)
    deviation = float(np.sqrt(total))
    if deviation <= CONSTANT:
        return VarianceShares(None, None, None, deviation, mean, len(flat))
    within, between, fixed = (part / total for part in parts)
    return VarianceShares(within, between, fixed, deviation, mean, len(flat))
