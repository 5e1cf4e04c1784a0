"""Curves over epochs: every value at its place, gaps where there is none."""

from __future__ import annotations

import math

import pytest

from cbam_viz.charts.training import epoch_curves
from cbam_viz.errors import RenderError


def test_every_value_stands_at_its_epoch_and_what_is_none_is_a_gap() -> None:
    lines = {"a": [0.1, None, 0.3], "b": [math.nan, 0.5, 1.5]}
    spec = epoch_curves(lines, (0, 5, 10), chosen="b", at=5, unit="step", title="Mean")
    line, rule = spec["layer"]
    values = {(one["layer"], one["step"]): one["value"] for one in line["data"]["values"]}
    assert values == {("a", 0): 0.1, ("a", 5): None, ("a", 10): 0.3,
                      ("b", 0): None, ("b", 5): 0.5, ("b", 10): 1.5}  # fmt: skip
    assert line["encoding"]["y"]["scale"]["domain"] == [0.0, 1.5]
    assert rule["data"]["values"] == [{"step": 5}]


def test_of_many_layers_the_chosen_one_stands_out() -> None:
    spec = epoch_curves({f"layer{n}": [0.5] for n in range(33)}, (1,), chosen="layer7")
    colour = spec["layer"][0]["encoding"]["color"]
    assert colour["legend"] is None
    shades = dict(zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True))
    assert len(set(shades.values())) == 2
    assert [name for name in shades if shades[name] != shades["layer0"]] == ["layer7"]


def test_a_line_of_another_length_is_refused() -> None:
    with pytest.raises(RenderError, match="a value for each of 2 epochs"):
        epoch_curves({"a": [0.1]}, (1, 2), chosen="a")
