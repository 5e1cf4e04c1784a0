from __future__ import annotations

import numpy as np
import pytest

from cbam_viz.errors import MetricError
from cbam_viz.metrics import (
    bootstrap_interval,
    correlation_interval,
    histogram_intersection,
    pearson,
    spearman,
    top_overlap,
)

RAMP = np.arange(12.0).reshape(3, 4)


def test_correlations_of_closed_form() -> None:
    assert pearson(RAMP, 3 * RAMP + 1) == pytest.approx(1)
    assert pearson(RAMP, -RAMP) == pytest.approx(-1)
    assert spearman(RAMP, np.exp(RAMP)) == pytest.approx(1)
    assert pearson(RAMP, np.exp(RAMP)) < 0.8
    # By hand: (1, 2, 3) and (1, 3, 2) have covariance 1/2 of the variance.
    assert pearson(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(0.5)


def test_equal_values_share_their_mean_rank() -> None:
    # Ranks 0.5, 0.5, 2 against 0, 1, 2: covariance 1.5, variances 1.5 and 2.
    found = spearman(np.array([5.0, 5.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    assert found == pytest.approx(1.5 / np.sqrt(1.5 * 2))


def test_a_constant_map_correlates_with_nothing() -> None:
    for value in (0.0, 0.1, 1e9):
        assert pearson(np.full((3, 4), value), RAMP) is None
        assert spearman(RAMP, np.full((3, 4), value)) is None


def test_numbers_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 5, (2, 7, 9)).astype(float)
    assert pearson(one, other) == pytest.approx(stats.pearsonr(one.ravel(), other.ravel())[0])
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other, axis=None)[0])


def test_overlap_of_the_highest_places() -> None:
    assert top_overlap(RAMP, RAMP, 0.25) == pytest.approx(1)
    assert top_overlap(RAMP, -RAMP, 0.25) == 0
    moved = RAMP.copy()
    moved.ravel()[[11, 0]] = moved.ravel()[[0, 11]]
    assert top_overlap(RAMP, moved, 0.25) == pytest.approx(2 / 4)  # of 3 places 2 are common
    flat = np.ones((10, 10))
    assert top_overlap(flat, np.arange(100.0).reshape(10, 10), 0.2) == pytest.approx(0.2 / 1.8)
    with pytest.raises(MetricError, match="between 0 and 1"):
        top_overlap(RAMP, RAMP, 1.0)


def test_a_map_overlaps_with_itself_in_all_its_places_whatever_ties() -> None:
    tied = np.random.default_rng(0).integers(0, 3, (7, 9))
    for values in (tied, np.ones((10, 10)), np.kron(tied, np.ones((4, 4)))):
        assert top_overlap(values, 5 * values + 1, 0.2) == pytest.approx(1)
    # 2 of 10 places each: one is high and common, of the rest 9 and 3 tie, those 3 among the 9.
    one, other = np.r_[9.0, np.ones(9)], np.r_[9.0, 1, 1, 1, np.zeros(6)]
    common = 1 + 3 * (1 / 9)
    assert top_overlap(one, other, 0.2) == pytest.approx(common / (4 - common))


def test_overlap_is_that_of_one_order_of_chance_for_ties() -> None:
    """Drawn: places by value, and of equal ones by one random number a place for both maps."""
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 3, (2, 40, 40))
    drawn = rng.random(one.shape)
    taken = [np.argsort((-values - drawn).ravel())[:320] for values in (one, other)]
    common = np.intersect1d(*taken).size
    assert top_overlap(one, other, 0.2) == pytest.approx(common / (640 - common), abs=0.03)


def test_histograms_intersect_in_what_both_have() -> None:
    assert histogram_intersection(RAMP, 5 * RAMP) == pytest.approx(1)
    assert histogram_intersection(np.array([1.0, 3.0]), np.array([3.0, 1.0])) == pytest.approx(0.5)
    assert histogram_intersection(np.zeros(2), np.ones(2)) is None
    with pytest.raises(MetricError, match="negative"):
        histogram_intersection(np.array([-1.0, 3.0]), np.ones(2))


def test_maps_of_other_places_are_refused() -> None:
    for measure in (pearson, spearman, top_overlap, histogram_intersection):
        with pytest.raises(MetricError, match=r"shapes \(3, 4\) and \(4, 3\)"):
            measure(RAMP, RAMP.T)


def test_interval_of_a_constant_is_a_point_and_of_a_coin_as_wide_as_it_should_be() -> None:
    assert bootstrap_interval(np.full(50, 0.25)) == (0.25, 0.25)
    low, high = bootstrap_interval(np.tile([0.0, 1.0], 200))
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.01)
    assert high == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=0.01)
    assert bootstrap_interval(np.arange(9.0)) == bootstrap_interval(np.arange(9.0))
    with pytest.raises(MetricError, match="two photos"):
        bootstrap_interval([1.0])


def test_interval_of_a_correlation() -> None:
    x = np.arange(30.0)
    assert correlation_interval(x, x) == pytest.approx((1, 1))
    assert correlation_interval(x, np.ones(30)) is None
    low, high = correlation_interval(x, np.random.default_rng(0).random(30))
    assert low < 0 < high
