"""Numbers of gates in closed form, and the epoch at which each of them went wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cbam_viz.runs.findings import findings, states
from cbam_viz.runs.numbers import Gate, GateNumbers, change, numbers_of

KEY = ("net.se", "channel")


def gate(values: object, shares: object = None) -> Gate:
    """(N, D) values; all count alike unless shares are given."""
    array = np.array(values, np.float64)
    even = np.full(array.shape, 1 / array.shape[1])
    return Gate(array, even if shares is None else np.array(shares, np.float64))


def rows_of(*epochs: object, numbers: list[int] | None = None) -> list[GateNumbers]:
    """What is told of one gate over epochs 1, 2, ..."""
    gates = [one if isinstance(one, Gate) else gate(one) for one in epochs]
    counted = (
        list(enumerate(gates, 1)) if numbers is None else list(zip(numbers, gates, strict=True))
    )
    named = [(number, {KEY: one}) for number, one in counted]
    return list(numbers_of(iter(named[-1:]), iter(named)))


def test_numbers_of_two_photos_in_closed_form() -> None:
    one, two = rows_of([[0.2, 0.4], [0.6, 0.8]], [[0.02, 0.98], [0.5, 0.5]])
    assert one.mean == pytest.approx(0.5)
    assert one.spread == pytest.approx(0.1)
    assert (one.minimum, one.maximum) == (0.2, 0.8)
    assert one.saturated == one.near_zero == 0
    # mean 0.5; the photos' levels are off by 0.2 each, the pattern by 0.1, nothing is left
    assert one.between == pytest.approx(0.04 / 0.05)
    assert one.fixed == pytest.approx(0.01 / 0.05)
    assert one.within == pytest.approx(0, abs=1e-12)
    assert one.change_previous is None
    differences = np.array([[0.18, -0.58], [0.1, 0.3]])
    far = math.sqrt((differences**2).mean())
    assert two.change_previous == pytest.approx(far)
    assert one.change_last == pytest.approx(far)
    assert two.change_last == 0
    assert (two.closed, two.opened, two.saturated) == (0.25, 0.25, 0.5)
    assert two.within == pytest.approx(1 / 2)
    uneven = np.array([0.02, 0.98])
    entropy = float(-(uneven * np.log(uneven)).sum() / math.log(2))
    assert two.entropy == pytest.approx((entropy + 1) / 2, abs=1e-6)


def test_cells_count_by_their_area_and_those_outside_not_at_all() -> None:
    area = [[0.75, 0.25, 0.0]]
    one, two = rows_of(gate([[0.0, 0.4, 9.0]], area), gate([[0.2, 0.4, math.nan]], area))
    assert one.mean == pytest.approx(0.1)
    assert one.spread == pytest.approx(math.sqrt(0.75 * 0.1**2 + 0.25 * 0.3**2))
    assert one.maximum == 0.4
    assert one.near_zero == 0.75
    assert two.not_finite == 0
    assert two.change_previous == pytest.approx(math.sqrt(0.75) * 0.2)
    assert one.within is None  # one photo


def test_gates_of_other_sizes_have_no_difference() -> None:
    assert change(gate([[0.1, 0.2]]), gate([[0.1]])) is None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([[0.04, 0.0], [0.049, 0.01]], ("collapsed",)),
        ([[0.051, 0.0], [0.0, 0.01]], ()),
        ([[0.01, 0.99], [0.99, 0.97]], ("saturated",)),
        ([[1.0, 1.0], [1.0, 1.0]], ("saturated", "constant")),
        ([[0.01, 0.99], [0.99, 0.94]], ()),
        ([[0.5, 0.5], [0.5, 0.5]], ("constant",)),
        ([[0.5, 0.509], [0.503, 0.5]], ("constant",)),
        ([[0.5, 0.511], [0.503, 0.5]], ()),
        ([[0.5, 0.5], [0.6, 0.6]], ()),  # another number for each photo
        ([[0.4, 0.6], [0.4, 0.6]], ()),  # the same for every photo, not for every place
        ([[-1.0, 1.0], [1.0, -1.0]], ()),  # a tanh has no end at 0
        ([[-0.01, 0.03], [0.0, -0.04]], ("collapsed",)),
        ([[-3.0, -3.0], [-3.0, -3.0]], ("constant",)),  # far from 0, though below 0.05
        ([[1.5, 2.0], [1.0, 1.8]], ()),
        ([[math.nan, 0.5], [0.4, 0.6]], ("not finite",)),
        ([[math.nan, math.inf], [math.nan, 0.6]], ("not finite",)),
    ],
)
def test_what_is_wrong_with_a_gate(values: object, wanted: tuple[str, ...]) -> None:
    (one,) = rows_of(values)
    assert states(one) == wanted


GOOD, FLAT, SHUT = [[0.2, 0.7]] * 2, [[0.5, 0.5]] * 2, [[0.0, 0.01]] * 2


def test_the_epoch_at_which_it_began_and_what_has_passed() -> None:
    rows = rows_of(FLAT, GOOD, FLAT, FLAT, GOOD, SHUT, SHUT, numbers=[0, 5, 10, 15, 20, 25, 30])
    told = [(one.kind, one.began, one.until, one.lasts, one.at_start) for one in findings(rows)]
    assert told == [
        ("collapsed", 25, 30, True, False),
        ("constant", 0, 0, False, True),
        ("constant", 10, 15, False, False),
    ]
    sentences = [one.sentence for one in findings(rows, "step")]
    assert sentences[0] == (
        "The channel weights of net.se are collapsed since step 25: 100 % of them within 0.05 of 0 "
        "on the probe photos, so the layer lets hardly anything pass."
    )
    assert "were constant at step 0, the first that was measured: 0.500" in sentences[1]
    assert "were constant from step 10 to 15: 0.500 for every channel of all 2" in sentences[2]


def test_a_gate_that_recovers_for_one_epoch_began_anew() -> None:
    rows = rows_of(SHUT, SHUT, GOOD, SHUT)
    assert [(one.began, one.until, one.lasts) for one in findings(rows)] == [
        (4, 4, True),
        (1, 2, False),
    ]


def test_the_gravest_is_told_first() -> None:
    gates = {("a", "channel"): gate(FLAT), ("b", "spatial"): gate(SHUT),
             ("c", "spatial"): gate([[math.nan, 0.5]] * 2)}  # fmt: skip
    rows = list(numbers_of(iter([(1, gates)]), iter([(1, gates)])))
    assert [one.layer for one in findings(rows)] == ["c", "b", "a"]
