"""The walk follows the gates in the order in which they act, on the features that each one sees."""

from __future__ import annotations

import pytest
import torch

from cbam_viz.attention import LayerAttention, LayerFeatures
from cbam_viz.ui import words
from cbam_viz.ui.pages.walk.steps import Lesson

BEFORE, BETWEEN = torch.full((1, 3, 2, 2), 1.0), torch.full((1, 3, 2, 2), 2.0)


def lesson(composition: str) -> Lesson:
    alone = composition in ("channel", "spatial", "parallel")
    features = LayerFeatures(BEFORE, None if alone else BETWEEN, torch.full((1, 3, 2, 2), 3.0))
    layer = LayerAttention(
        name="a",
        module="a",
        call=1,
        stage="a",
        channel=None if composition == "spatial" else torch.full((1, 3), 0.5),
        spatial=None if composition == "channel" else torch.full((1, 2, 2), 0.5),
        cells=None,
        composition=composition,
        found_by="watch",
        verified=True,
        dtype=torch.float32,
        features=features,
    )
    return Lesson(None, layer, features, 0)


@pytest.mark.parametrize(
    ("composition", "told"),
    [
        ("channel then spatial", {"channel": ("", 1), "spatial": ("'", 2)}),
        ("spatial then channel", {"spatial": ("", 1), "channel": ("'", 2)}),
        ("parallel", {"channel": ("", 1), "spatial": ("", 1)}),
        ("channel", {"channel": ("", 1)}),
        ("spatial", {"spatial": ("", 1)}),
    ],
)
def test_gates_in_the_order_in_which_they_act(composition, told) -> None:
    of = lesson(composition)
    assert list(of.gates) == list(told)
    for gate, (primes, value) in told.items():
        assert of.primes(gate) == primes
        assert of.seen_by(gate).tolist() == [[[value] * 2] * 2] * 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (-1.23456, "−1.235"),
        (0.00061, "0.00061"),
        (-2.04e-5, "−2.0 × 10⁻⁵"),
        (123456.0, "1.2 × 10⁵"),
        (float("nan"), "not a number"),
        (float("-inf"), "infinite"),
    ],
)
def test_numbers_as_people_write_them(value, text) -> None:
    assert words.number(value) == text


def test_titles_that_a_list_could_not_tell_apart_get_numbers() -> None:
    assert words.distinct({"a": "Cat", "b": "Dog", "c": "Cat"}) == {
        "a": "Cat", "b": "Dog", "c": "Cat (2)",
    }  # fmt: skip
