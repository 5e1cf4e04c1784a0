"""Each bar is where its weight says, in every layout, and the specification is valid Vega-Lite."""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbam_viz import RenderError
from cbam_viz.charts import SELECTION, Spec, channel_chart, ranks

RNG = np.random.default_rng(0)
SIZES = [1, 16, 64, 128, 129, 256, 512, 513, 1024, 2048]


@functools.cache
def schema_of(kind: str) -> Any:
    """Of one kind of view; with all kinds allowed, errors would list every kind's."""
    altair = pytest.importorskip("altair")
    jsonschema = pytest.importorskip("jsonschema")
    folder = Path(altair.__file__).parent / "vegalite"
    schema = json.loads(next(folder.glob("v*/schema/vega-lite-schema.json")).read_text())
    return jsonschema.Draft7Validator({**schema, "$ref": f"#/definitions/{kind}"})


def validate(spec: Spec) -> None:
    """Against the schema that Altair, and so Streamlit, brings along."""
    schema_of("TopLevelLayerSpec").validate(json.loads(json.dumps(spec, allow_nan=False)))


@functools.cache
def compiled(formula: str) -> Any:
    """The few Vega expressions that the chart uses, in Python."""
    python = re.sub(r"datum\.(\w+)", r"datum['\1']", formula)
    python = re.sub(r"isValid\((.*?)\)", r"(\1 is not None)", python)
    if "?" in python:
        condition, yes, no = re.split(r" \? | : ", python)
        python = f"({yes}) if ({condition}) else ({no})"
    return compile(python, formula, "eval")


def evaluate(formula: str, datum: dict[str, Any]) -> Any:
    return eval(compiled(formula), {"floor": math.floor, "datum": datum})


def bars(spec: Spec) -> list[dict[str, Any]]:
    """The data after the chart's own transforms."""
    found = []
    for record in spec["data"]["values"]:
        datum = dict(record)
        for step in spec["transform"]:
            datum[step["as"]] = evaluate(step["calculate"], datum)
        found.append(datum)
    return found


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("order", ["index", "sorted"])
def test_specifications_are_valid(count: int, order: str) -> None:
    spec = channel_chart(RNG.random(count), order=order, selected=0)  # type: ignore[arg-type]
    validate({**spec, "data": {"values": spec["data"]["values"][:5]}})


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("order", ["index", "sorted"])
def test_every_bar_is_as_high_as_its_weight_and_where_it_belongs(count: int, order: str) -> None:
    weights = RNG.random(count)
    spec = channel_chart(weights, order=order)  # type: ignore[arg-type]
    domain_x = spec["layer"][-1]["encoding"]["x"]["scale"]["domain"]
    domain_y = spec["layer"][-1]["encoding"]["y"]["scale"]["domain"]
    per_row = domain_x[1]
    rows = math.ceil(count / per_row)
    sequence = np.argsort(-weights, kind="stable") if order == "sorted" else np.arange(count)
    place = {int(channel): position for position, channel in enumerate(sequence)}
    taken = set()
    for bar in bars(spec):
        channel = bar["channel"]
        assert bar["head"] - bar["foot"] == pytest.approx(weights[channel], abs=1e-6)
        assert bar["foot"] == bar["base"]
        row, column = divmod(place[channel], per_row)
        assert bar["base"] == (rows - 1 - row) * 1.25  # the first row at the top
        assert bar["left"] == pytest.approx(column + 0.08)
        assert domain_x[0] <= bar["left"] < bar["right"] <= domain_x[1]
        assert domain_y[0] <= bar["foot"] <= bar["head"] <= domain_y[1]
        taken.add((row, column))
    assert len(taken) == count


@pytest.mark.parametrize(("count", "per_row"), [(64, 64), (128, 128), (512, 128), (2048, 256)])
def test_rows(count: int, per_row: int) -> None:
    spec = channel_chart(RNG.random(count))
    assert spec["layer"][-1]["encoding"]["x"]["scale"]["domain"] == [0, per_row]
    # All of it fits on a screen.
    assert spec["height"] <= 600


def axis_labels(axis: dict[str, Any]) -> dict[float, str]:
    """Label by axis value, from the list that the expression indexes."""
    texts, values = re.fullmatch(
        r"(\[.*\])\[indexof\((\[.*\]), datum\.value\)\]", axis["labelExpr"]
    ).groups()  # type: ignore[union-attr]
    assert json.loads(values) == axis["values"]
    return dict(zip(json.loads(values), eval(texts), strict=True))


def test_axes_say_what_bars_mean() -> None:
    single = channel_chart(RNG.random(64))["layer"][0]["encoding"]
    assert axis_labels(single["y"]["axis"]) == {
        0.0: "0",
        0.25: "0.25",
        0.5: "0.5",
        0.75: "0.75",
        1.0: "1",
    }
    assert single["x"]["axis"]["values"][:2] == [0.5, 8.5]
    rows = channel_chart(RNG.random(300), order="sorted")
    assert axis_labels(rows["layer"][1]["encoding"]["y"]["axis"]) == {
        0: "0",
        1: "1",
        1.25: "0",
        2.25: "1",
        2.5: "0",
        3.5: "1",
    }
    ranges = rows["layer"][0]["encoding"]["y"]["axis"]
    assert axis_labels(ranges) == {3.0: "1–128", 1.75: "129–256", 0.5: "257–300"}
    # Vega drops labels that it thinks too close, every second one of them, unless told not to.
    assert ranges["labelOverlap"] is False
    indexed = channel_chart(RNG.random(300))["layer"][0]["encoding"]["y"]["axis"]
    assert axis_labels(indexed) == {3.0: "0–127", 1.75: "128–255", 0.5: "256–299"}


def test_the_axis_is_absolute_and_extends_only_beyond_zero_to_one() -> None:
    narrow = bars(channel_chart(np.array([0.50, 0.51])))
    assert [bar["head"] for bar in narrow] == pytest.approx([0.50, 0.51])
    spec = channel_chart(np.array([-0.5, 0.0, 1.5]))
    labels = axis_labels(spec["layer"][0]["encoding"]["y"]["axis"])
    assert labels == {0.0: "-0.5", 0.25: "0", 0.5: "0.5", 0.75: "1", 1.0: "1.5"}
    # Bars begin at zero, a quarter up, and hang below it where negative.
    assert [(bar["foot"], bar["head"]) for bar in bars(spec)] == [
        (0.25, 0.0),
        (0.25, 0.25),
        (0.25, 1.0),
    ]


def test_ranks_by_hand_with_ties_and_nan() -> None:
    assert ranks(np.array([0.1, 0.9, math.nan, 0.9, 0.5])).tolist() == [4, 1, 5, 2, 3]


@pytest.mark.parametrize("top_k", [0, 1, 3, 99])
def test_the_highest_are_marked(top_k: int) -> None:
    weights = np.array([0.1, 0.9, 0.5, 0.7, 0.3])
    spec = channel_chart(weights, top_k=top_k)
    marked = [bar["channel"] for bar in bars(spec) if bar["group"] != "other"]
    assert marked == sorted(np.argsort(-weights)[:top_k].tolist())
    color = spec["layer"][1]["encoding"]["color"]
    assert {bar["group"] for bar in bars(spec)} <= set(color["scale"]["domain"])
    assert (color["legend"] is None) == (top_k == 0)


def test_hovering_gives_channel_weight_and_rank() -> None:
    spec = channel_chart(np.array([0.25, 0.75]))
    fields = [item["field"] for item in spec["layer"][0]["encoding"]["tooltip"]]
    assert spec["layer"][1]["encoding"]["tooltip"] == spec["layer"][0]["encoding"]["tooltip"]
    assert fields == ["channel", "weight", "rank"]
    assert spec["data"]["values"] == [
        {"channel": 0, "weight": 0.25, "rank": 2, "position": 0},
        {"channel": 1, "weight": 0.75, "rank": 1, "position": 1},
    ]


def test_a_click_anywhere_in_a_column_selects_its_channel() -> None:
    spec = channel_chart(np.array([0.01, 0.75]))
    hit, _ = spec["layer"]
    assert hit["params"][0]["name"] == SELECTION == "channel"
    assert hit["params"][0]["select"] == {"type": "point", "fields": ["channel"], "toggle": False}
    assert (hit["encoding"]["y"]["field"], hit["encoding"]["y2"]["field"]) == ("base", "ceiling")


def test_the_selected_channel_is_marked() -> None:
    spec = channel_chart(RNG.random(300), selected=7)
    assert [bar["channel"] for bar in bars(spec) if bar["chosen"]] == [7]
    assert not any(bar["chosen"] for bar in bars(channel_chart(RNG.random(300))))


def test_values_that_json_cannot_hold_have_no_bar() -> None:
    spec = channel_chart(np.array([0.5, math.nan, math.inf]))
    json.dumps(spec, allow_nan=False)
    assert [bar["head"] - bar["foot"] for bar in bars(spec)] == [0.5, 0, 0]
    validate(spec)
    assert "none of them" in channel_chart(np.array([math.nan]))["description"]


def test_the_description_says_it_in_words() -> None:
    description = channel_chart(np.array([0.2, 0.9, 0.4]))["description"]
    assert description == (
        "Bar chart of 3 channel weights from 0.200 to 0.900; the highest is that of channel 1."
    )


def test_no_colour_of_text_is_fixed() -> None:
    text = json.dumps(channel_chart(RNG.random(300)))
    assert not re.search(r"(label|title|tick|domain)Color|background|\"config\"", text)


def test_big_charts_stay_small() -> None:
    assert len(json.dumps(channel_chart(RNG.random(2048)))) < 160_000


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
        channel_chart(weights, **options)
