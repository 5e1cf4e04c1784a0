"""The component that draws the bars is told the weights, their ranks and a true axis."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cbam_viz import RenderError
from cbam_viz.charts import channel_bars, ranks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [1, 64, 129, 2048])
def test_every_weight_is_there_in_index_order(count: int) -> None:
    weights = RNG.random(count)
    told = channel_bars(weights, order="sorted")
    np.testing.assert_allclose(told["weights"], weights, atol=5.1e-7)
    # By counting, not by sorting: no two of these are equal.
    assert told["ranks"] == [1 + int((weights > weight).sum()) for weight in weights]


def test_the_axis_is_absolute_and_extends_only_beyond_zero_to_one() -> None:
    narrow = channel_bars(np.array([0.50, 0.51]))
    assert (narrow["low"], narrow["high"]) == (0, 1)
    wide = channel_bars(np.array([-0.5, 0.0, 1.5, math.inf]))
    assert (wide["low"], wide["high"]) == (-0.5, 1.5)


def test_ranks_by_hand_with_ties_and_nan() -> None:
    assert ranks(np.array([0.1, 0.9, math.nan, 0.9, 0.5])).tolist() == [4, 1, 5, 2, 3]


def test_values_that_json_cannot_hold_become_null() -> None:
    told = channel_bars(np.array([0.5, math.nan, math.inf]))
    json.dumps(told, allow_nan=False)
    assert told["weights"] == [0.5, None, None]
    assert "none of them" in channel_bars(np.array([math.nan]))["label"]


def test_the_whole_is_said_in_words() -> None:
    assert channel_bars(np.array([0.2, 0.9, 0.4]))["label"] == (
        "Bars of 3 channel weights from 0.200 to 0.900; the highest is that of channel 1. Arrow "
        "keys choose a bar."
    )


def test_many_channels_stay_small() -> None:
    assert len(json.dumps(channel_bars(RNG.random(2048)))) < 40_000


@pytest.mark.parametrize(
    ("weights", "options", "says"),
    [
        (np.zeros((2, 3)), {}, r"shape \(C,\)"),
        (np.zeros(0), {}, r"shape \(C,\)"),
        (np.zeros(4), {"order": "random"}, "no order 'random'"),
        (np.zeros(4), {"selected": 4}, "channels 0 to 3"),
        (np.zeros(4), {"selected": -1}, "channels 0 to 3"),
        (np.zeros(4), {"top_k": -1}, "0 or more"),
    ],
)
def test_what_cannot_be_charted(weights: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RenderError, match=says):
        channel_bars(weights, **options)
