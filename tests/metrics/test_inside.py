from __future__ import annotations

import numpy as np
import pytest

from cbam_viz.errors import MetricError
from cbam_viz.metrics import (
    above_minimum,
    box_mask,
    centre_gaussian,
    energy_inside,
    overlap_at_area,
    pointing_hit,
    smooth_random,
    uniform,
)

MASK = box_mask([[2.0, 1.0, 6.0, 4.0]], (8, 10))  # 4 x 3 of 80 pixels


def test_box_mask_counts_pixel_centres() -> None:
    assert MASK.sum() == 12
    assert MASK[1:4, 2:6].all()
    assert box_mask([[0.6, 0.4, 2.4, 1.6]], (3, 3)).tolist() == [
        [False, True, False],
        [False, True, False],
        [False, False, False],
    ]


def test_boxes_that_overlap_count_once() -> None:
    both = box_mask([[0, 0, 4, 4], [2, 2, 6, 6]], (8, 8))
    assert both.sum() == 16 + 16 - 4


@pytest.mark.parametrize(
    ("values", "energy", "hit", "overlap"),
    [
        (MASK, 1.0, 1.0, 1.0),
        (~MASK, 0.0, 0.0, 0.0),
        # Uniform: the object covers a = 12/80, and a / (2 - a) of the union is chance.
        (uniform((8, 10)) / 2, 12 / 80, 12 / 80, 0.15 / 1.85),
        (np.zeros((8, 10)), 12 / 80, 12 / 80, 0.15 / 1.85),
        (1 + MASK, 24 / 92, 1.0, 1.0),
    ],
)
def test_maps_of_closed_form(values: np.ndarray, energy: float, hit: float, overlap: float) -> None:
    assert energy_inside(values, MASK) == pytest.approx(energy)
    assert pointing_hit(values, MASK) == pytest.approx(hit)
    assert overlap_at_area(values, MASK) == pytest.approx(overlap)


def test_ties_at_the_border_count_by_the_share_that_fits() -> None:
    mask = np.array([[True, True, False, False]])
    # One place is above, three tie for the one that is left: one of them lies inside.
    values = np.array([[3.0, 1.0, 1.0, 1.0]])
    common = 1 + 1 / 3
    assert overlap_at_area(values, mask) == pytest.approx(common / (4 - common))
    assert pointing_hit(np.array([[2.0, 1.0, 2.0, 2.0]]), mask) == pytest.approx(1 / 3)


def test_removing_the_minimum_leaves_the_pattern() -> None:
    weak = 0.49 + 0.02 * MASK
    assert energy_inside(weak, MASK) < 0.16
    assert energy_inside(above_minimum(weak), MASK) == pytest.approx(1.0)


def test_a_gate_and_its_complement_share_the_whole() -> None:
    gate = np.random.default_rng(0).random((8, 10))
    inside, outside = gate[MASK].sum(), (1 - gate)[MASK].sum()
    assert inside + outside == pytest.approx(12)
    assert energy_inside(1 - gate, MASK) == pytest.approx(outside / (1 - gate).sum())


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        (np.ones((2, 2)), np.zeros((2, 2), bool), "mask is empty"),
        (np.ones((2, 2)), np.ones((2, 3), bool), r"mask has shape \(2, 3\)"),
        (np.ones((2, 2)), np.full((2, 2), np.nan), "true and false"),
        (np.array([[1, np.nan]]), np.ones((1, 2), bool), "1 of the map's 2 values"),
        (np.ones((0, 2)), np.ones((0, 2), bool), "empty"),
    ],
)
@pytest.mark.parametrize("measure", [energy_inside, pointing_hit, overlap_at_area])
def test_what_has_no_answer_gives_none(measure, values, mask, message) -> None:
    with pytest.raises(MetricError, match=message):
        measure(values, mask)


def test_negative_energy_is_none() -> None:
    with pytest.raises(MetricError, match="above_minimum"):
        energy_inside(np.array([[-1.0, 2.0]]), np.array([[True, False]]))


def test_centre_gaussian_is_symmetric_with_its_peak_in_the_middle() -> None:
    values = centre_gaussian((40, 60))
    np.testing.assert_allclose(values, values[::-1, ::-1])
    assert values[19, 29] == values.max()
    assert values[19, 29 + 15] / values[19, 29] == pytest.approx(np.exp(-0.5), rel=0.05)


def roughness(values: np.ndarray) -> float:
    steps = [np.diff(values, axis=axis).ravel() for axis in (0, 1)]
    return float(np.abs(np.concatenate(steps)).mean())


def test_a_random_map_has_the_values_and_the_smoothness_of_the_given_one() -> None:
    y, x = np.mgrid[:14, :14]
    smooth = np.exp(-((y - 4) ** 2 + (x - 9) ** 2) / 20)
    made = [smooth_random(smooth, seed) for seed in range(20)]
    rng = np.random.default_rng(0)
    for one in made:
        np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(smooth, axis=None))
        shuffled = rng.permutation(smooth.ravel()).reshape(smooth.shape)
        assert roughness(one) < 0.6 * roughness(shuffled)
    assert np.mean([roughness(one) for one in made]) < 2 * roughness(smooth)
    assert not np.array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], smooth_random(smooth, 0))
    # Where the peak is says nothing of where it was.
    places = np.array([np.unravel_index(one.argmax(), one.shape) for one in made])
    assert len({tuple(place) for place in places}) > 5
