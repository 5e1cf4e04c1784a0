"""Means and variances by group that grow block by block, and are those of the whole.

Blocks are put together by the formulas of Chan, Golub and LeVeque (1979), in double precision: no
sum of squares is ever subtracted from another one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]

_AT_ONCE = 1 << 15
"""Numbers; three times as fast as all columns of a thousand classes together."""


class Moments:
    """Count, mean and sum of squared deviations of every element, for each of some groups."""

    def __init__(self, groups: int, elements: int) -> None:
        self.count = np.zeros(groups, np.int64)
        """(K,) rows of each group."""
        self.mean = np.zeros((groups, elements))
        """(K, D)"""
        self.squares = np.zeros((groups, elements))
        """(K, D), of deviations from the group's mean."""

    def add(self, values: npt.NDArray[Any], groups: npt.NDArray[np.int64]) -> None:
        """Add rows (N, D) of the groups (N,)."""
        if not len(values):
            return
        order = np.argsort(groups, kind="stable")
        present, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
        before, after = self.count[present], self.count[present] + counts
        weight = (counts / after)[:, None]
        wide = max(1, _AT_ONCE // len(values))
        for first in range(0, values.shape[1], wide):  # what fits into a processor's own memory
            some = slice(first, first + wide)
            rows = np.asarray(values[:, some][order], np.float64)
            mean = np.add.reduceat(rows, starts) / counts[:, None]
            rows -= np.repeat(mean, counts, axis=0)
            squares = np.add.reduceat(np.square(rows, out=rows), starts)
            apart = mean - self.mean[present, some]
            self.mean[present, some] += apart * weight
            squares += np.square(apart) * (before[:, None] * weight)
            self.squares[present, some] += squares
        self.count[present] = after

    @property
    def variance(self) -> Real:
        """(K, D), divided by n; NaN for groups without rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.squares / np.where(self.count, self.count, np.nan)[:, None]

    def spread(self, groups: npt.NDArray[np.intp]) -> Real:
        """(K, D) standard deviations of some groups (K,) that have rows."""
        found = self.squares[groups]
        found /= self.count[groups][:, None]
        return np.sqrt(found, out=found)

    def together(self) -> Moments:
        """All groups as one."""
        whole = Moments(1, self.mean.shape[1])
        share = self.count / max(1, self.count.sum())
        whole.count[0] = self.count.sum()
        whole.mean[0] = share @ self.mean
        whole.squares[0] = self.squares.sum(0)
        for count, mean in zip(self.count, self.mean, strict=True):  # all at once take much memory
            whole.squares[0] += count * np.square(mean - whole.mean[0])
        return whole
