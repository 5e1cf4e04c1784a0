"""Histogram and highest weights: counted by hand, and nothing is said that equal weights deny."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cbam_viz.charts import channel_bars, highest, places, spread_of


def test_the_histogram_counts_on_the_absolute_scale() -> None:
    weights = np.array([0.0, 0.049, 0.05, 0.5, 0.5, 0.549, 0.95, 1.0], np.float32)
    spread = spread_of(weights)
    expected = [0] * 20
    expected[0], expected[1], expected[10], expected[19] = 2, 1, 3, 2
    assert list(spread.counts) == expected
    assert (spread.below, spread.above, spread.missing) == (0, 0, 0)


def test_every_border_belongs_to_the_bin_above_it() -> None:
    borders = (np.arange(20) / 20).astype(np.float32)
    assert spread_of(borders).counts == (1,) * 20


def test_values_beyond_the_scale_have_bins_of_their_own_and_lost_ones_are_said() -> None:
    told = channel_bars(np.array([-0.2, 0.5, 1.5, 2.0, math.nan, math.inf]))
    bins = told["histogram"]
    assert (bins[0], bins[-1]) == ({"text": "below 0", "count": 1}, {"text": "above 1", "count": 2})
    assert [one for one in bins[1:-1] if one["count"]] == [{"text": "0.50 to 0.55", "count": 1}]
    assert told["missing"] == 2
    assert told["histogramLabel"] == (
        "How many channel weights lie where: below 0: 1; 0.50 to 0.55: 1; above 1: 2; no finite "
        "numbers: 2. Arrow keys go through it."
    )
    inside = channel_bars(np.array([0.2, 0.4]))["histogram"]
    assert [inside[0]["text"], inside[-1]["text"], len(inside)] == [
        "0.00 to 0.05",
        "0.95 to 1.00",
        20,
    ]


@pytest.mark.parametrize("count", [1, 64, 513, 2048])
def test_the_histogram_loses_no_channel(count: int) -> None:
    weights = np.random.default_rng(count).normal(0.5, 0.4, count)
    told = channel_bars(weights)
    assert sum(one["count"] for one in told["histogram"]) + told["missing"] == count
    for one in told["histogram"]:
        if " to " in one["text"]:
            low, high = map(float, one["text"].split(" to "))
            assert one["count"] == np.count_nonzero((weights >= low) & (weights < high))


EQUAL = np.full(64, 0.5, np.float32)
TIED = np.array([0.9] * 3 + [0.7] * 5 + [0.1] * 4, np.float32)


@pytest.mark.parametrize(
    ("weights", "count", "marked", "text"),
    [
        (np.arange(20) / 20, 3, (17, 18, 19), "3 highest"),
        (EQUAL, 10, (), "all 64 weights are equal (0.500)"),
        (EQUAL, 64, (), "all 64 weights are equal (0.500)"),
        # no two of them would be the same after another forward
        (EQUAL + np.float32(1e-7) * (np.arange(64) % 4), 10, (),
         "all 64 weights are equal (0.500)"),
        (TIED, 3, (0, 1, 2), "3 highest"),
        (TIED, 2, (0, 1, 2), "3 that share the highest weight (0.900)"),
        (TIED, 8, tuple(range(8)), "8 highest"),
        (
            TIED,
            5,
            tuple(range(8)),
            "8 highest: 5 asked for, places 4 to 8 are equal (0.700)",
        ),
        (np.ones(14), 10, (), "all 14 weights are equal (1.000)"),
        (np.array([*[1.0] * 14, 0.2]), 10, tuple(range(14)),
         "14 that share the highest weight (1.000)"),
        (np.array([0.2, 0.4]), 10, (0, 1), "all 2 weights"),
        (np.array([0.4]), 10, (0,), "the only weight"),
        (np.array([0.4, math.nan, 0.4]), 10, (), "all 2 finite weights are equal (0.400)"),
        (np.array([0.4, math.nan, 0.3, 0.2]), 1, (0,), "1 highest"),
        (np.array([math.nan]), 10, (), ""),
        (np.arange(20) / 20, 0, (), ""),
    ],
)  # fmt: skip
def test_the_highest_are_higher_than_the_others(weights, count, marked, text) -> None:
    found = highest(weights, count)
    assert (found.channels, found.text) == (marked, text)
    told = channel_bars(weights, top_k=count)
    assert (told["marked"], told["markedText"]) == (list(marked), text)


def test_equal_weights_share_a_place() -> None:
    assert places(np.array([0.1, 0.9, math.nan, 0.9, 0.5])) == (
        "rank 4 of 5",
        "rank 1 of 5, shared with 1 more",
        "no rank",
        "rank 1 of 5, shared with 1 more",
        "rank 3 of 5",
    )
    assert set(places(EQUAL)) == {"the same as all 64"}
    assert places(np.array([0.3])) == ("rank 1 of 1",)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (EQUAL, "Bars of 64 channel weights, all of them 0.500. Arrow keys choose a bar."),
        (np.array([0.25]), "Bars of 1 channel weights, 0.250. Arrow keys choose a bar."),
        (
            np.array([0.5, math.nan, 0.5]),
            "Bars of 3 channel weights, all finite ones 0.500. Arrow keys choose a bar.",
        ),
        (
            np.array([0.9, 0.9, 0.1]),
            "Bars of 3 channel weights from 0.100 to 0.900; 2 channels share the highest. Arrow "
            "keys choose a bar.",
        ),
    ],
)
def test_equal_weights_in_words(weights, says) -> None:
    assert channel_bars(weights)["label"] == says


def test_the_layer_is_named_and_all_is_fit_for_json() -> None:
    told = channel_bars(np.array([0.1, 0.2, math.nan]), title="stage 4, block 2")
    assert told["label"].startswith("Bars of 3 channel weights of stage 4, block 2 from 0.100")
    assert told["histogramLabel"].startswith("How many channel weights of stage 4, block 2 lie")
    json.dumps(told, allow_nan=False)
