"""What is told of each photo's gate, as in `cbam_viz.statistics`, for many photos at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.dataset.reading import Block
from cbam_viz.statistics import SATURATED_HIGH, SATURATED_LOW

Real = npt.NDArray[np.float64]

NUMBERS = ("mean", "spread", "saturated", "entropy")
"""`spread` over a photo's channels or its map, `saturated` and `entropy` in [0, 1]; those of a map
are weighted by area on the photo."""
_AT_ONCE = 1 << 16
"""Gates; what fits into a processor's own memory."""


def photo_numbers(block: Block) -> Real:
    """(N, 4) the `NUMBERS` of every photo of a block."""
    rows = max(1, _AT_ONCE // max(1, block.values.shape[1]))
    parts = [
        _numbers(np.asarray(block.values[n : n + rows], np.float64), block.shares[n : n + rows])
        for n in range(0, len(block.rows), rows)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(NUMBERS)))


def _numbers(values: Real, shares: Real) -> Real:
    mean = _over(values, shares)
    apart = values - mean[:, None]
    spread = np.sqrt(_over(np.square(apart, out=apart), shares))
    outside = (values < SATURATED_LOW) | (values > SATURATED_HIGH)
    entropy = _entropy(values, shares, mean)
    return np.stack([mean, spread, _over(outside, shares), entropy], 1)


def _over(values: npt.NDArray[Any], shares: Real) -> Real:
    """(N,) sum of values (N, D) by their shares (N, D)."""
    found: Real = np.einsum("nd,nd->n", values, shares)
    return found


def _entropy(values: Real, shares: Real, mean: Real) -> Real:
    """`statistics.relative_entropy` of every row; NaN where values are no distribution."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = values / mean[:, None]
        logs = np.log(ratio)
        logs *= ratio
        divergence = _over(np.where(ratio > 0, logs, 0), shares)
        same = shares if shares.strides[0] else shares[:1]  # often one for all
        even = -np.where(same > 0, same * np.log(same), 0).sum(1)
        entropy = np.where(even > 0, 1 - divergence / even, 1.0)
    negative = ((values < 0) & (shares > 0)).any(1)
    entropy[negative | ~(mean > 0)] = np.nan
    return np.asarray(entropy, np.float64)
