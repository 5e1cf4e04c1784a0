from __future__ import annotations

import numpy as np
import pytest

from cbam_viz.attention import Cells
from cbam_viz.evaluation.agreement import agreement
from cbam_viz.images import Geometry

GEOMETRY = Geometry.of_input((64, 64))
CELLS = Cells(8, 8, 4, 4)


def smooth(seed: int) -> np.ndarray:
    from cbam_viz.metrics import smooth_random

    y, x = np.mgrid[:8, :8]
    return smooth_random(np.exp(-((y - 3) ** 2 + (x - 4) ** 2) / 9.0), seed)


def test_a_map_agrees_with_itself_beyond_chance() -> None:
    values = smooth(0)
    found = agreement((values, CELLS), (2 * values + 1, CELLS), GEOMETRY, draws=40)
    assert found.pearson == pytest.approx(1)
    assert found.spearman == pytest.approx(1)
    assert found.overlap == pytest.approx(1)
    for name in ("pearson", "spearman", "overlap"):
        low, high = found.chance[name]
        assert low < high < 1


def test_maps_of_chance_agree_as_chance_does() -> None:
    inside = 0
    for seed in range(20):
        found = agreement((smooth(seed), CELLS), (smooth(100 + seed), CELLS), GEOMETRY, draws=60)
        low, high = found.chance["pearson"]
        inside += low <= found.pearson <= high
    assert inside >= 16  # 95 % are expected


def test_maps_meet_where_their_cells_lie() -> None:
    peak = np.zeros((8, 8))
    peak[2, 5] = 1
    # The same place on the input, in cells that begin 8 pixels further down and right.
    moved = np.zeros((8, 8))
    moved[1, 4] = 1
    found = agreement((peak, CELLS), (moved, Cells(8, 8, 12, 12)), GEOMETRY, draws=2)
    assert found.pearson == pytest.approx(1)
    apart = agreement((peak, CELLS), (moved, CELLS), GEOMETRY, draws=2)
    assert apart.pearson < 0.6


def test_a_flat_map_agrees_with_nothing() -> None:
    found = agreement((np.ones((8, 8)), CELLS), (smooth(0), CELLS), GEOMETRY, draws=3)
    assert (found.pearson, found.spearman, found.chance["pearson"]) == (None, None, None)
    assert found.overlap == pytest.approx(0.2 / 1.8, abs=0.01)


def test_negative_maps_have_an_intersection_above_their_minimum() -> None:
    values = smooth(0)
    found = agreement((values - 5, CELLS), (values - 9, CELLS), GEOMETRY, draws=1)
    assert found.intersection == pytest.approx(1)


def test_inputs_that_lie_elsewhere_on_the_photo_meet_where_both_saw_it() -> None:
    values = smooth(0)
    right = Geometry((64, 64), (64, 64), 1.0, 0.5, 0.0, 32.0)  # the right half of the photo
    beside = Cells(8, 16, 4, 8)  # 4 cells of 8 photo pixels across
    found = agreement((values, CELLS), (values[:, 4:], beside), GEOMETRY, of_other=right, draws=2)
    assert found.pearson == pytest.approx(1, abs=0.02)
    stretched = agreement((values, CELLS), (values[:, 4:], beside), GEOMETRY, draws=2)
    assert stretched.pearson < 0.9
