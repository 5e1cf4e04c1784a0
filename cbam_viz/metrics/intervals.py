"""How sure a mean or a correlation is, by drawing photos again (bootstrap)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import MetricError
from cbam_viz.metrics._checks import as_map, as_pair, generator
from cbam_viz.metrics.agreement import spearman

DRAWS = 2000


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = 0.95, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """Percentile interval of the mean of values (N,), one a photo.

    Give differences of two measures photo by photo to compare them (a paired interval). Efron,
    "Bootstrap methods", Annals of Statistics 1979.

    Raises:
        MetricError: there are fewer than two values, which say nothing of their spread.
    """
    found = as_map(values).ravel()
    if found.size < 2:
        raise MetricError("An interval needs at least two photos.")
    index = generator(seed).integers(0, found.size, (draws, found.size))
    low, high = np.percentile(found[index].mean(axis=1), _ends(level))
    return float(low), float(high)


def correlation_interval(
    one: npt.ArrayLike,
    other: npt.ArrayLike,
    *,
    level: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, float] | None:
    """Percentile interval of the rank correlation of pairs (N,); None where it has none.

    Raises:
        MetricError: there are fewer than three pairs.
    """
    first, second = as_pair(one, other)
    if first.size < 3:
        raise MetricError("An interval of a correlation needs at least three pairs.")
    rng = generator(seed)
    found = []
    for _ in range(draws):
        index = rng.integers(0, first.size, first.size)
        value = spearman(first[index], second[index])
        if value is not None:  # a draw of one pair alone, again and again
            found.append(value)
    if not found:
        return None
    low, high = np.percentile(found, _ends(level))
    return float(low), float(high)


def _ends(level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise MetricError(f"The level of an interval lies between 0 and 1; {level} does not.")
    return 50 * (1 - level), 50 * (1 + level)
