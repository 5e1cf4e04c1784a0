"""Clustering of matrices whose tree is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cbam_viz.dataset.clustering import Merge, cluster
from cbam_viz.errors import StoreError

pytest.importorskip("scipy")


def test_a_tree_in_closed_form() -> None:
    """Two pairs on a line at 0, 1 and 10, 12: distances 1, 2, and 10.5 between their means."""
    found = cluster(np.array([[0.0], [10.0], [1.0], [12.0]]))
    # Higher mean first at every branch: 12, 10, then 1, 0.
    assert found.order.tolist() == [3, 1, 2, 0]
    assert found.merges == (
        Merge(2, 3, 0, 0, 1),
        Merge(0, 1, 0, 0, 2),
        Merge(0.5, 2.5, 2, 1, (10 + 9 + 12 + 11) / 4),
    )


def test_blocks_that_were_shuffled_stand_together_again() -> None:
    random = np.random.default_rng(0)
    centres = np.array([[0.9] * 5, [0.5] * 5, [0.1] * 5])
    kinds = random.permutation(np.repeat(np.arange(3), 4))
    values = centres[kinds] + random.normal(0, 0.01, (12, 5))
    order = cluster(values).order
    # Between the middle block and the others the distances are nearly equal: which pair is nearer
    # is chance, but each block is one run, and the highest stands before the lowest.
    runs = [
        int(kind) for n, kind in enumerate(kinds[order]) if not n or kind != kinds[order[n - 1]]
    ]
    assert sorted(runs) == [0, 1, 2]
    assert runs.index(0) < runs.index(2)


def test_the_order_follows_from_the_values_and_not_from_the_rows() -> None:
    random = np.random.default_rng(1)
    values = random.random((20, 7))
    wanted = values[cluster(values).order]
    for _ in range(3):
        shuffled = values[random.permutation(20)]
        np.testing.assert_array_equal(shuffled[cluster(shuffled).order], wanted)


def test_equal_rows_and_too_few() -> None:
    same = cluster(np.full((4, 3), 0.5))
    assert sorted(same.order.tolist()) == [0, 1, 2, 3]
    assert [one.height for one in same.merges] == [0, 0, 0]
    assert cluster(np.full((4, 3), 0.5)).order.tolist() == same.order.tolist()
    assert cluster(np.ones((1, 3))).order.tolist() == [0]
    assert cluster(np.ones((0, 3))).merges == ()


def test_what_cannot_be_clustered(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="no finite numbers have no distances"):
        cluster(np.array([[0.0], [np.nan]]))
    monkeypatch.setitem(sys.modules, "scipy.cluster.hierarchy", None)
    with pytest.raises(StoreError, match=r"pip install .cbam-viz\[batch\]"):
        cluster(np.array([[0.0], [1.0]]))
