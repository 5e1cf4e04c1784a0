"""Both branches, their sum, and the sigmoid, with the values they were given."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbam_viz import RenderError
from cbam_viz.charts import Spec, branch_chart, sigmoid_chart, vector_chart

AVERAGE = np.array([1.0, -2.0, 0.5, 0.0])
MAXIMUM = np.array([0.5, 1.0, 3.0, -1.0])


@functools.cache
def schema() -> Any:
    """Of layered charts; with all kinds allowed, errors would list every kind's."""
    altair = pytest.importorskip("altair")
    jsonschema = pytest.importorskip("jsonschema")
    folder = Path(altair.__file__).parent / "vegalite"
    found = json.loads(next(folder.glob("v*/schema/vega-lite-schema.json")).read_text())
    return jsonschema.Draft7Validator({**found, "$ref": "#/definitions/TopLevelLayerSpec"})


def validate(spec: Spec) -> None:
    """Against the schema that Altair, and so Streamlit, brings along."""
    schema().validate(json.loads(json.dumps(spec, allow_nan=False)))


def test_branches_and_their_sum() -> None:
    spec = branch_chart(AVERAGE, MAXIMUM, channels=[2, 0])
    validate(spec)
    assert [(item["channel"], item["part"], item["logit"]) for item in spec["data"]["values"]] == [
        ("2", "from the mean", 0.5),
        ("2", "from the maximum", 3.0),
        ("2", "sum", 3.5),
        ("0", "from the mean", 1.0),
        ("0", "from the maximum", 0.5),
        ("0", "sum", 1.5),
    ]
    assert spec["layer"][0]["encoding"]["x"]["sort"] == ["2", "0"]


def test_by_default_the_highest_sums_are_shown() -> None:
    rng = np.random.default_rng(0)
    average, maximum = rng.normal(size=64), rng.normal(size=64)
    shown = branch_chart(average, maximum)["layer"][0]["encoding"]["x"]["sort"]
    assert shown == [str(channel) for channel in np.argsort(-(average + maximum))[:16]]


def test_points_have_the_networks_weights_and_the_curve_is_a_sigmoid() -> None:
    logits = AVERAGE + MAXIMUM
    weights = np.array([0.1, 0.2, 0.3, 0.4])  # of a gate that is no sigmoid
    spec = sigmoid_chart(logits, weights)
    validate(spec)
    curve, points, _ = (layer["data"]["values"] for layer in spec["layer"])
    assert [(item["logit"], item["weight"]) for item in points] == list(
        zip(logits, weights, strict=True)
    )
    for item in curve[::10]:
        assert item["weight"] == pytest.approx(1 / (1 + math.exp(-item["logit"])), abs=1e-5)
    assert (curve[0]["logit"], curve[-1]["logit"]) == (-6, 6)
    wide = sigmoid_chart(np.array([-20.0, 9.0]), np.array([-0.5, 1.0]))
    assert wide["layer"][0]["data"]["values"][0]["logit"] == -20
    assert wide["layer"][1]["encoding"]["y"]["scale"]["domain"] == [-0.5, 1.0]


def test_values_that_are_no_numbers() -> None:
    bad = np.array([math.nan, 1.0])
    for spec in (branch_chart(bad, bad), sigmoid_chart(bad, bad)):
        json.dumps(spec, allow_nan=False)
        validate(spec)


def test_what_does_not_match() -> None:
    with pytest.raises(RenderError, match="do not belong to the same channels"):
        branch_chart(AVERAGE, MAXIMUM[:2])
    with pytest.raises(RenderError, match="do not belong to the same channels"):
        sigmoid_chart(AVERAGE, MAXIMUM[:2])
    with pytest.raises(RenderError, match="one image"):
        branch_chart(np.zeros((1, 4)), np.zeros((1, 4)))
    for channels in ([], [4], [-1]):
        with pytest.raises(RenderError, match="channels from 0 to 3"):
            branch_chart(AVERAGE, MAXIMUM, channels=channels)


def test_the_followed_channel_is_marked_on_the_curve() -> None:
    spec = sigmoid_chart(np.array([0.0, 2.0]), np.array([0.5, 0.88]), selected=1)
    validate(spec)
    assert spec["layer"][-1]["data"]["values"] == [{"channel": 1, "logit": 2.0, "weight": 0.88}]
    assert sigmoid_chart(AVERAGE, MAXIMUM)["layer"][-1]["data"]["values"] == []


def test_vectors_are_points_and_the_followed_one_is_marked() -> None:
    spec = vector_chart({"mean": AVERAGE, "maximum": MAXIMUM}, selected=2, what="unit")
    validate(spec)
    rule, points, marked = spec["layer"]
    assert [(one["of"], one["number"], one["value"]) for one in points["data"]["values"]] == [
        ("mean", 0, 1.0), ("mean", 1, -2.0), ("mean", 2, 0.5), ("mean", 3, 0.0),
        ("maximum", 0, 0.5), ("maximum", 1, 1.0), ("maximum", 2, 3.0), ("maximum", 3, -1.0),
    ]  # fmt: skip
    assert [one["value"] for one in marked["data"]["values"]] == [0.5, 3.0]
    assert [one["number"] for one in rule["data"]["values"]] == [2]
    assert (
        vector_chart({"mean": np.array([np.nan])})["layer"][1]["data"]["values"][0]["value"] is None
    )


def test_vectors_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(RenderError, match="same length"):
        vector_chart({"mean": AVERAGE, "maximum": MAXIMUM[:2]})
    with pytest.raises(RenderError, match="one vector"):
        vector_chart({})
    with pytest.raises(RenderError, match="no channel 4, only 0 to 3"):
        vector_chart({"mean": AVERAGE}, selected=4)
