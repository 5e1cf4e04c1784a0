from __future__ import annotations

import numpy as np
import pytest

from cbam_viz.errors import MetricError
from cbam_viz.metrics import confidence, gini, let_through


def test_gini_by_hand() -> None:
    assert gini(np.ones((3, 4))) == pytest.approx(0)
    peak = np.zeros((4, 5))
    peak[2, 3] = 7
    assert gini(peak) == pytest.approx(1 - 1 / 20)
    # Sorted 1, 2, 3, 4 of 10: 1 - 2 (.1 * 3.5 + .2 * 2.5 + .3 * 1.5 + .4 * .5) / 4
    assert gini([[4, 1], [3, 2]]) == pytest.approx(0.25)
    assert gini([[-4, 1], [3, -2]]) == pytest.approx(0.25)
    assert gini([[40, 10], [30, 20]]) == pytest.approx(0.25)


def test_a_map_of_zeros_has_no_sparseness() -> None:
    assert gini(np.zeros((3, 3))) is None


def test_drop_and_increase_by_hand() -> None:
    fell, rose = confidence(0.8, 0.2), confidence(0.5, 0.6)
    assert fell.drop == pytest.approx(0.75)
    assert fell.increase == 0
    assert rose.drop == 0
    assert rose.increase == 1
    same = confidence(0.5, 0.5)
    assert (same.drop, same.increase) == (0, 0)


@pytest.mark.parametrize("pair", [(0, 0.5), (1.2, 0.5), (0.5, -0.1), (float("nan"), 0.5)])
def test_what_is_no_probability_is_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(MetricError, match="probabilities above 0"):
        confidence(*pair)


def test_a_map_lets_through_by_its_share_of_the_maximum() -> None:
    picture, grey = np.full((2, 2, 2), 8, np.float32), np.full((2, 2, 2), 4, np.float32)
    found = let_through(picture, [[4, 2], [0, -3]], grey)
    np.testing.assert_allclose(found[0], [[8, 6], [4, 4]])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(let_through(picture, np.full((2, 2), 0.5), grey), picture)
    assert let_through(picture, np.zeros((2, 2)), grey) is None
    with pytest.raises(MetricError, match="does not go with"):
        let_through(picture, np.zeros((3, 2)), grey)
