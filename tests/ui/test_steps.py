"""The walk on its page: steps in the order in which gates act, and the switches at its end."""

from __future__ import annotations

import json
import re

import pytest
import torch

import cbam_viz
from cbam_viz.images import prepare, read_photo, samples
from cbam_viz.ui import scene, words
from tests.app_checkpoint import CLASSES, NAME

LAYER = "layer3.0.se"


def headings(app) -> list[str]:
    return [one.value.replace("\\", "") for one in app.subheader]


def rows(app, key: str) -> list[dict]:
    return json.loads(app.get_by_key(key).proto.json)["rows"]


def cell_maps(app) -> dict[str, dict]:
    """The pictures of which a cell can be chosen, by key."""
    parts = [one.proto for one in app.get("bidi_component")]
    found = ((one.id.rpartition("-")[2], json.loads(one.json)) for one in parts if one.json)
    return {key: data for key, data in found if "followed" in data}


@pytest.fixture(scope="module")
def expected(checkpoint_folder) -> dict[tuple[str, ...], torch.Tensor]:
    """Probabilities without gates of one layer, by hooks that give back what they receive."""
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    x = prepare(read_photo(samples()[0].path), loaded.spec).tensor
    layer = loaded.model.get_submodule(LAYER)
    found = {}
    for gates in ((), ("channel",), ("spatial",), ("channel", "spatial")):
        handles = [
            getattr(layer, gate).register_forward_hook(lambda _m, args, _o: args[0])
            for gate in gates
        ]
        with torch.inference_mode():
            found[gates] = loaded.model(x)[0].softmax(0)
        for handle in handles:
            handle.remove()
    return found


def test_the_steps_of_the_paper_each_with_its_picture(open_app):
    app = open_app("how", layer=LAYER)
    assert not app.exception
    assert headings(app) == [
        "1. Input features", "2. Pooling over places", "3. Shared MLP, layer 1 of 2", "4. ReLU",
        "5. Shared MLP, layer 2 of 2", "6. Mean and maximum are added",
        "7. Sigmoid: the channel weights", "8. Channel-refined features",
        "9. Pooling over channels", "10. Put together (concatenation)", "11. 7 × 7 convolution",
        "12. BatchNorm", "13. Sigmoid: the spatial map", "14. Spatially refined output",
        "15. Added to the shortcut", "What would it predict without?",
    ]  # fmt: skip
    sizes = [one.value for one in app.caption if one.value.startswith("Size: ")]
    assert "Size: 256 → 16, twice" in sizes
    assert "Size: 16 → 256, twice" in sizes
    equations = " ".join(one.value for one in app.get("latex"))
    assert r"\mathrm{BN}" in equations
    filters = sum(len(one.proto.imgs) for one in app.get("image"))
    bars = [one for one in app.get("html") if "linear-gradient" in one.proto.body]
    assert filters == 2
    assert len(bars) == filters + len(cell_maps(app)) - 1  # all but the photo have a colour bar
    assert len(app.get("vega_lite_chart")) == 6


def test_why_this_channel_and_this_cell_is_said_and_another_is_a_click_away(open_app):
    app = open_app("how", layer=LAYER)
    text = "\n".join(one.value for one in app.markdown)
    assert "the channel from which its weight takes most (weight 0." in text
    assert "the cell where the map is highest on the photo" in text
    app.button(key="follow_largest").click().run()
    text = "\n".join(one.value for one in app.markdown)
    assert "the channel with the largest weight (weight 0." in text
    assert "rank 1 of 256" in text
    assert app.query_params["channel"] == str(app.number_input(key="set_channel").value)


def test_the_switches_show_what_would_be_predicted_once(open_app, expected, monkeypatch):
    runs = []
    analyse_with = scene.analyse_with
    monkeypatch.setattr(
        scene, "analyse_with", lambda *a: runs.append(tuple(a[2][LAYER])) or analyse_with(*a)
    )
    app = open_app("how", layer=LAYER)
    assert not runs
    for gates in (("channel",), ("channel", "spatial"), ("spatial",), ("channel", "spatial")):
        for gate in ("channel", "spatial"):
            app.toggle(key=f"without_{gate}").set_value(gate in gates)
        app.run()
        assert not app.exception
        best = expected[gates].topk(5)
        shown = rows(app, "outcome_without")
        assert [row["label"] for row in shown] == [CLASSES[i] for i in best.indices]
        for row, share in zip(shown, best.values.tolist(), strict=True):
            assert row["share"] == pytest.approx(share, abs=1e-6)
        before = rows(app, "outcome_with")
        assert before[0]["share"] == pytest.approx(float(expected[()].max()), abs=1e-5)
    assert runs == [("channel",), ("channel", "spatial"), ("spatial",)]  # the last was kept
    text = "\n".join(one.value for one in app.markdown)
    assert re.search(r"Without the channel weights and the spatial map of this layer it", text)


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


def test_another_cell_can_be_followed_and_is_in_the_link(open_app, checkpoint_folder):
    app = open_app("how", layer=LAYER, channel="3")
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    layer = cbam_viz.analyse(loaded, read_photo(samples()[0].path)).attention[LAYER]
    columns = layer.spatial.shape[2]
    row, column = divmod(int(layer.spatial[0].argmax()), columns)
    assert (app.number_input("how_row").value, app.number_input("how_column").value) == (
        row + 1,
        column + 1,
    )
    assert "how_cell" not in app.query_params
    app.number_input("how_row").set_value(2).run()
    app.number_input("how_column").set_value(5).run()
    assert not app.exception
    assert app.query_params["how_cell"] == "2,5"
    told = "\n".join(one.value for one in app.markdown)
    assert "**row 2, column 5**, chosen by you" in told
    assert f"Row 2, column 5 gets **{words.number(float(layer.spatial[0, 1, 4]))}**" in told

    again = open_app("how", layer=LAYER, channel="3", how_cell="2,5")
    assert "**row 2, column 5**, chosen by you" in "\n".join(one.value for one in again.markdown)
    again.button("follow_highest_cell").click().run()
    assert again.number_input("how_row").value == row + 1
    assert "how_cell" not in again.query_params


def test_a_cell_that_the_layer_has_not_is_not_followed(open_app):
    app = open_app("how", layer=LAYER, how_cell="99,1")
    assert not app.exception
    assert "chosen by you;" not in "\n".join(one.value for one in app.markdown)
    assert any("how\\_cell “" in one.value for one in app.info)


def test_a_channel_that_the_layer_has_not_is_named(open_app):
    app = open_app("how", layer=LAYER, channel="256")
    assert [one.value for one in app.info] == ["This layer has no channel 256, only 0 to 255."]
    assert "channel" not in app.query_params
    assert not open_app("how", layer=LAYER, channel="255").info
