"""Insertion and deletion of pictures of a few pixels, whose curves can be written down."""

from __future__ import annotations

import numpy as np
import pytest

from cbam_viz.errors import MetricError
from cbam_viz.metrics import blurred, filled, removal

PICTURE = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
BLACK = np.zeros_like(PICTURE)
HOW = {"replacement": "black", "score_name": "logit", "steps": 4}


def total(batch: np.ndarray) -> np.ndarray:
    return batch.sum((1, 2, 3))


def test_curves_of_four_pixels_by_hand() -> None:
    found = removal(total, PICTURE, [[1, 2], [3, 4]], BLACK, **HOW)
    np.testing.assert_array_equal(found.shares, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(found.most_first, [10, 6, 3, 1, 0])
    np.testing.assert_array_equal(found.least_first, [10, 9, 7, 4, 0])
    # Trapezia of width 1/4: (10 + 0) / 8 and the inner scores / 4.
    assert found.deletion == pytest.approx(10 / 8 + (6 + 3 + 1) / 4)
    assert found.insertion == pytest.approx(10 / 8 + (9 + 7 + 4) / 4)
    assert found.combined == pytest.approx(2.5)
    assert (found.cut, found.tie_effect) == (0, 0)
    assert (found.replacement, found.score, found.steps) == ("black", "logit", 4)


def test_the_opposite_map_has_the_opposite_worth() -> None:
    one = removal(total, PICTURE, [[1, 2], [3, 4]], BLACK, **HOW)
    other = removal(total, PICTURE, [[4, 3], [2, 1]], BLACK, **HOW)
    np.testing.assert_array_equal(other.most_first, one.least_first)
    assert other.combined == pytest.approx(-one.combined)


def test_insertion_is_deletion_in_the_other_order_from_the_other_end() -> None:
    """What is put back first is what is taken away last."""
    rng = np.random.default_rng(0)
    picture, replaced = rng.normal(size=(2, 3, 6, 4)).astype(np.float32)
    values = rng.normal(size=(6, 4))
    found = removal(lambda b: (b**3).sum((1, 2, 3)), picture, values, replaced, **HOW)
    order = np.argsort(-values, axis=None)
    for k, count in enumerate([0, 6, 12, 18, 24]):  # inserted, the rest is still replaced
        mask = np.zeros(24, bool)
        mask[order[:count]] = True
        inserted = np.where(mask.reshape(6, 4), picture, replaced)
        score = (inserted.astype(np.float64) ** 3).sum()
        assert found.least_first[4 - k] == pytest.approx(score, rel=1e-5)


def test_ties_are_broken_by_the_rule_and_the_other_rule_is_reported() -> None:
    # Two pixels of each value: steps of one pixel part them, in reading order the upper left first.
    values = [[2, 2], [1, 1]]
    reading = removal(total, PICTURE, values, BLACK, ties="reading order", **HOW)
    np.testing.assert_array_equal(reading.most_first, [10, 9, 7, 4, 0])
    np.testing.assert_array_equal(reading.least_first, [10, 6, 3, 1, 0])
    assert reading.cut == 4
    assert reading.ties == "reading order"
    swapped = {seed for seed in range(20) if _first(values, seed) == 8}
    assert 0 < len(swapped) < 20  # either pixel of the upper two goes first
    seed = min(swapped)
    by_chance = removal(total, PICTURE, values, BLACK, seed=seed, **HOW)
    assert by_chance.combined_otherwise == pytest.approx(reading.combined)
    assert by_chance.tie_effect == pytest.approx(reading.combined - by_chance.combined)
    assert by_chance.tie_effect != 0


def _first(values: list[list[int]], seed: int) -> float:
    return float(removal(total, PICTURE, values, BLACK, seed=seed, **HOW).most_first[1])


def test_ties_that_no_step_parts_do_not_matter() -> None:
    found = removal(total, PICTURE, [[2, 2], [1, 1]], BLACK, **{**HOW, "steps": 2})
    np.testing.assert_array_equal(found.most_first, [10, 7, 0])
    assert (found.cut, found.tie_effect) == (0, 0)


def test_a_constant_map_is_an_order_of_chance_that_a_seed_repeats() -> None:
    rng = np.random.default_rng(0)
    picture = rng.random((1, 8, 8)).astype(np.float32)
    runs = [
        removal(total, picture, np.ones((8, 8)), picture * 0, seed=seed, **HOW)
        for seed in (*range(40), 0)
    ]
    np.testing.assert_array_equal(runs[0].most_first, runs[-1].most_first)
    worth = [one.combined for one in runs[:40]]
    assert abs(np.mean(worth)) < 0.1 * picture.sum() / np.sqrt(40)
    assert np.std(worth) > 0


def test_every_forward_has_a_full_batch_and_none_is_done_twice() -> None:
    sizes: list[int] = []
    seen: list[bytes] = []

    def score(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        seen.extend(one.tobytes() for one in batch)
        return total(batch)

    removal(score, PICTURE, [[1, 2], [3, 4]], BLACK, batch=3, **HOW)
    assert sizes == [3, 3, 2]  # 5 of one order, 3 of the other: the ends are the same
    assert len(set(seen)) == 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2]], "map"),
        ([[1, np.nan], [3, 4]], "no finite numbers"),
    ],
)
def test_maps_that_do_not_fit_are_refused(values: list[list[float]], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        removal(total, PICTURE, values, BLACK, **HOW)


def test_scores_that_are_none_are_refused() -> None:
    for score in (lambda b: total(b)[:1], lambda b: total(b) * np.nan):
        with pytest.raises(MetricError, match="one for each"):
            removal(score, PICTURE, [[1, 2], [3, 4]], BLACK, **HOW)
    with pytest.raises(MetricError, match="no 5 steps"):
        removal(total, PICTURE, [[1, 2], [3, 4]], BLACK, **{**HOW, "steps": 5})


def test_replacements() -> None:
    flat = np.full((3, 20, 30), 2.5, np.float32)
    np.testing.assert_allclose(blurred(flat), flat, rtol=1e-6)
    point = np.zeros((1, 41, 41), np.float32)
    point[0, 20, 20] = 1
    soft = blurred(point, 0.1)
    # A Gaussian of standard deviation 4.1: its middle is 1 / (2 pi 4.1^2).
    assert soft[0, 20, 20] == pytest.approx(1 / (2 * np.pi * 4.1**2), rel=0.01)
    assert soft.sum() == pytest.approx(1, rel=1e-4)
    np.testing.assert_array_equal(filled(flat, [1, 2, 3])[:, 4, 5], [1, 2, 3])
