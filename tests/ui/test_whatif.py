"""The page What if, by value: other gates, every gate in turn, channel by channel."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from torch import nn

import cbam_viz
from cbam_viz.ablation import (
    Aim,
    Channels,
    Constant,
    Effect,
    Mean,
    Shuffled,
)
from cbam_viz.detections import Detections
from cbam_viz.images import InputSpec, prepare, read_photo, samples
from cbam_viz.layer_names import Titles
from cbam_viz.models import offered
from cbam_viz.ui import words
from cbam_viz.ui.pages.whatif import measured, telling
from tests.app_checkpoint import CLASSES, NAME
from tests.ui.streamlits import go_to, memory

LAYER = "layer3.0.se"
STAGE = ("layer3.0.se", "layer3.1.se")


def component(app, key: str) -> dict:
    return json.loads(app.get_by_key(key).proto.json)


def text(app) -> str:
    return "\n".join(one.value for one in (*app.markdown, *app.caption, *app.info, *app.error))


@pytest.fixture(scope="module")
def network(checkpoint_folder):
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    return loaded, prepare(read_photo(samples()[0].path), loaded.spec).tensor


def by_hooks(network, layers: tuple[str, ...], kinds: tuple[str, ...], gate) -> torch.Tensor:
    """Probabilities with `gate(own)` in the place of gates; the modules give x times their gate."""
    loaded, x = network
    with ExitStack() as stack, torch.inference_mode():
        for layer in layers:
            for kind in kinds:
                part = loaded.model.get_submodule(layer).get_submodule(kind)

                def other(_module, args, out):
                    given = args[0]
                    safe = torch.where(given.abs() > 1e-3, given, torch.nan)
                    dims = (2, 3) if out.shape[2:].numel() and kind == "channel" else (1,)  # noqa: B023
                    own = (out / safe).nanmean(dims, keepdim=True)
                    return given * gate(own)

                stack.callback(part.register_forward_hook(other).remove)
        return loaded.model(x)[0].softmax(0)


CHANGES = {
    "one layer, both, one": (
        {"whatif_by": "one", "layer": LAYER}, (LAYER,), ("channel", "spatial"), torch.ones_like,
    ),
    "one layer, both, mean": (
        {"layer": LAYER}, (LAYER,), ("channel", "spatial"),
        lambda g: torch.full_like(g, float(g.mean())),
    ),
    "stage, spatial, zero point two": (
        {"layer": LAYER, "whatif_reach": "stage", "whatif_gates": "spatial", "whatif_by": "number",
         "whatif_number": "0.2"},
        STAGE, ("spatial",), lambda g: torch.full_like(g, 0.2),
    ),
    "several, channel, zero": (
        {"whatif_reach": "some", "whatif_layers": "layer2.0.se,layer4.1.se",
         "whatif_gates": "channel", "whatif_by": "zero"},
        ("layer2.0.se", "layer4.1.se"), ("channel",), torch.zeros_like,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_both_predictions_are_those_with_hooks_in_the_place_of_gates(open_app, network, what):
    link, layers, kinds, gate = CHANGES[what]
    app = open_app("whatif", **link)
    assert not app.exception
    assert not app.error
    for key, shares in (
        ("whatif_before", by_hooks(network, (), (), None)),
        ("whatif_after", by_hooks(network, layers, kinds, gate)),
    ):
        best = shares.topk(5)
        shown = component(app, key)["rows"]
        assert [row["label"] for row in shown] == [CLASSES[i] for i in best.indices]
        assert [row["share"] for row in shown] == pytest.approx(best.values.tolist(), abs=2e-4)


def test_a_later_map_before_and_after_and_that_a_replacement_takes_one_forward(open_app, network):
    app = open_app("whatif", layer=LAYER, whatif_by="one", whatif_gates="channel")
    loaded, x = network
    shown = component(app, "whatif_viewer")
    before = cbam_viz.capture(loaded.model, x)["layer4.1.se"].spatial[0]
    with (
        cbam_viz.ablate(loaded.model, {LAYER: {"channel": "one"}}) as block,
        torch.inference_mode(),
    ):
        after = block.capture(x)["layer4.1.se"].spatial[0]
    for side, gate in ((shown, before), (shown["second"], after)):
        assert side["name"] == "layer4.1.se"
        np.testing.assert_allclose(side["cells"]["values"], gate.flatten(), atol=2e-6)
    assert shown["layer"] != shown["second"]["layer"]
    change = float((after - before).abs().max())
    assert change > 0.001
    assert f"by {words.number(change)} at most" in text(app)
    calls = []
    model = memory(app).scene.loaded.model
    handle = model.conv1.register_forward_hook(lambda *_: calls.append(1))
    try:
        app.selectbox(key="whatif_by").set_value("zero").run()  # learnt anew: there is a hook now
        calls.clear()
        app.selectbox(key="whatif_by").set_value("mean").run()
        assert len(calls) == 1
        for key, value in (
            ("set_colormap", "grey"),
            ("set_scale", "per map"),
            ("whatif_map", LAYER),
        ):
            app.selectbox(key=key).set_value(value).run()
        app.selectbox(key="whatif_by").set_value("zero").run()
        assert len(calls) == 1
    finally:
        handle.remove()
    assert not app.exception


def test_the_table_has_every_gate_sorted_and_the_sentence_is_true(open_app, network):
    app = open_app("whatif", whatif_by="one", layer=LAYER)
    assert not app.dataframe
    app.toggle(key="whatif_every").set_value(True).run()
    assert not app.exception
    loaded, x = network
    with torch.inference_mode():
        own = loaded.model(x)[0]
    top, before = int(own.argmax()), float(own.softmax(0).max())
    expected = {}
    for layer in memory(app).scene.layers:
        for kind, word in (("channel", "channel weights"), ("spatial", "spatial map")):
            shares = by_hooks(network, (layer,), (kind,), torch.ones_like)
            expected[layer, word] = float(shares[top])
    table = app.dataframe[0].value
    assert len(table) == len(expected) == 16
    changes = []
    for row in table.to_dict("records"):
        after = expected[row["Module"], row["Kind"]]
        assert row["Then"] == pytest.approx(100 * after, abs=1e-3)
        assert row["Change"] == pytest.approx(100 * (after - before), abs=1e-3)
        changes.append(abs(row["Change"]))
    assert changes == sorted(changes, reverse=True)
    assert max(changes) < 0.5
    stays = f"No single gate changes much here: {CLASSES[top]} stays near {100 * before:.1f} %."
    assert stays in text(app)
    app.segmented_control(key="whatif_unit").set_value("all").run()
    assert not app.exception
    assert not app.error
    assert sorted(app.dataframe[0].value["Kind"]) == ["both", "channel weights", "spatial map"]
    both = app.dataframe[0].value.set_index("Kind").loc["both", "Then"]
    every = tuple(memory(app).scene.layers)
    shares = by_hooks(network, every, ("channel", "spatial"), torch.ones_like)
    assert both == pytest.approx(100 * float(shares[top]), abs=1e-2)


def test_channels_over_their_weights(open_app, network):
    app = open_app("whatif", layer=LAYER, whatif_channels="1", whatif_follow="1")
    assert not app.exception
    (chart,) = app.get("vega_lite_chart")
    spec = json.loads(chart.proto.spec)
    (points,) = [one["data"]["values"] for one in spec["layer"] if "data" in one]
    assert len(points) == 2 * 256
    loaded, x = network
    with torch.inference_mode():
        own = loaded.model(x)[0]
    target = int(own.topk(2).indices[1])
    weights = memory(app).scene.layers[LAYER].channel[0]
    for point in points[::97]:
        value = 0.0 if point["set"].startswith("closed") else 1.0
        by = {"channel": Channels((point["channel"],), Constant(value))}
        with cbam_viz.ablate(loaded.model, {LAYER: by}), torch.inference_mode():
            after = loaded.model(x)[0]
        assert point["weight"] == pytest.approx(float(weights[point["channel"]]), abs=1e-5)
        assert point["change"] == pytest.approx(float((after - own)[target]), abs=1e-4)
    assert re.search(r"rank correlation −?-?0\.\d\d, 95 % interval", text(app))


def test_too_slow_is_said_and_not_tried_again(open_app, monkeypatch):
    monkeypatch.setattr(measured, "SECONDS", -1.0)
    app = open_app("whatif", layer=LAYER, whatif_channels="1", whatif_every="1")
    assert not app.exception
    assert "16 of 256 channels took" in text(app)
    assert re.search(r"\d+ of 27 replacements were not measured: it took too long", text(app))
    app.segmented_control(key="whatif_unit").set_value("all").run()
    assert not app.error
    assert "None of these was measured in time." in text(app)
    monkeypatch.setattr(measured, "importance_on_photo", None)
    monkeypatch.setattr(measured, "effects_on_photo", None)
    app.selectbox(key="set_colormap").set_value("grey").run()
    assert not app.exception
    assert "16 of 256 channels took" in text(app)


def test_it_is_in_the_link_and_is_reached_from_how_it_works(open_app):
    app = open_app("how", layer=LAYER)
    assert any("What if" in one.proto.label for one in app.get("page_link"))
    assert app.toggle(key="without_channel").label == "Without the channel weights"
    go_to(app, "whatif")
    app.segmented_control(key="whatif_reach").set_value("some").run()
    app.multiselect(key="whatif_layers").set_value(["layer1.0.se", "layer4.0.se"]).run()
    app.selectbox(key="whatif_by").set_value("shuffled").run()
    app.number_input(key="whatif_seed").set_value(7).run()
    link = {name: value for name, value in app.query_params.items() if name.startswith("whatif_")}
    assert link == {
        "whatif_reach": "some", "whatif_layers": "layer1.0.se,layer4.0.se",
        "whatif_by": "shuffled", "whatif_seed": "7",
    }  # fmt: skip
    other = open_app("whatif", **app.query_params)
    assert component(other, "whatif_after")["rows"] == component(app, "whatif_after")["rows"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("reach", "world"), ("by", "love"), ("number", "2"), ("seed", "-1"), ("follow", "99"),
     ("layers", "layer9"), ("map", "layer0.9.se"), ("unit", "x"), ("gates", "doors"), ("of", "no")],
)  # fmt: skip
def test_what_a_link_may_not_say_is_named(open_app, name, value):
    needed = {
        "layers": {"reach": "some"}, "number": {"by": "number"}, "seed": {"by": "shuffled"},
        "unit": {"every": "1"},
    }.get(name, {})  # fmt: skip
    link = {f"whatif_{key}": one for key, one in needed.items()}
    app = open_app("whatif", **link, **{f"whatif_{name}": value})
    assert not app.exception
    assert not app.error
    assert [name in one.value for one in app.info] == [True]


class Maps(nn.Module):
    """Gives maps, of which nothing says what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.first, self.second = nn.Conv2d(8, 1, 3, 1, 1), nn.Conv2d(8, 1, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.one(x)
        y = self.two(y * torch.sigmoid(self.first(y)))
        return y * torch.sigmoid(self.second(y))


class Two(nn.Module):
    """Finds two things, a left one whose score is the mean of what passes its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.weight * x.mean(1, keepdim=True) - 3)
        return (x * gate).mean((1, 2, 3))[:, None, None]


def two(output: torch.Tensor) -> Detections:
    left = float(output.clamp(0, 1))
    boxes = np.array([[0.0, 0, 100, 100], [100.0, 0, 200, 100]])
    return Detections(boxes, [0.99, left], [0, 1], ["right", "left"])


def offer(monkeypatch, network: nn.Module, **more) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        monkeypatch.setattr(offered, "_offered", {})
    plain = InputSpec(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    offered.offer("mine", cbam_viz.wrap_model(network.eval(), plain, name="mine", **more))


def test_a_network_without_class_scores_still_shows_its_maps(open_app, monkeypatch):
    offer(monkeypatch, Maps())
    app = open_app("whatif", whatif_every="1", whatif_channels="1", whatif_by="one", layer="one")
    assert not app.exception
    assert not app.error
    said = [one.value for one in app.info if "No prediction" in one.value]
    assert len(said) == 1
    assert "no classes or objects that could be followed" in said[0]
    assert component(app, "whatif_viewer")["second"]["cells"]["values"]
    assert not app.dataframe
    assert not [one for one in app.segmented_control if one.key == "whatif_gates"]  # one kind only


def test_a_detectors_object_is_followed(open_app, monkeypatch):
    offer(monkeypatch, Two(), decode=two)
    app = open_app("whatif", whatif_every="1", whatif_follow="1", whatif_by="one")
    assert not app.exception
    assert not app.error
    loaded = memory(app).scene.loaded
    x = prepare(read_photo(samples()[0].path), loaded.spec).tensor
    gate = torch.sigmoid(3 * x.mean(1, keepdim=True) - 3)
    before, after = float((x * gate).mean()), float(x.mean())
    assert app.selectbox(key="whatif_follow").label == "Object to follow"
    assert f"**left rises from {100 * before:.1f} % to {100 * after:.1f} %**" in text(app)
    row = app.dataframe[0].value.iloc[0]
    assert row["Then"] == pytest.approx(100 * after, abs=1e-3)
    assert row["Change"] == pytest.approx(100 * (after - before), abs=1e-3)
    assert "Logit" not in app.dataframe[0].value


class Mixed(nn.Module):
    """A layer with channel weights alone, and one with a map alone."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 8, 1)
        self.late, self.place = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 1, 3, 1, 1)
        self.classifier = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        y = self.late(y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))).relu()
        return self.classifier((y * torch.sigmoid(self.place(y))).mean((2, 3)))


def test_a_layer_without_the_chosen_gate_is_one_sentence_and_the_rest_goes_on(
    open_app, monkeypatch
):
    offer(monkeypatch, Mixed())
    app = open_app("whatif")
    layers = memory(app).scene.layers
    name = next(name for name, one in layers.items() if one.spatial is None)
    app = open_app("whatif", layer=name, whatif_gates="spatial", whatif_every="1")
    assert not app.exception
    assert not app.error
    assert [one.value.replace("\\", "") for one in app.info] == [
        f"There is nothing to replace: {memory(app).scene.titles.layers[name]} has no spatial maps."
    ]
    assert len(app.dataframe[0].value) == 2


def test_a_network_without_attention_is_one_sentence(open_app, monkeypatch):
    offer(monkeypatch, nn.Conv2d(3, 4, 3))
    app = open_app("whatif")
    assert not app.exception
    assert not app.error
    (said,) = (one.value for one in app.info if one.icon == ":material/info:")
    assert "no channel or spatial attention to show" in said


def effect(unit, name, kind, before, after) -> Effect:
    return Effect(unit, name, kind, "share", np.array([before]), np.array([after]), None)


TITLES = Titles(
    {"a": "stage 1, block 1", "b": "stage 3, block 2"}, {"s1": "stage 1", "s3": "stage 3"}
)
CAT = Aim("class", 3, "cat", 0.93)


def test_the_summary_is_the_sentence_of_stages_and_of_gates():
    rows = [
        effect("gate", "a", "spatial", 0.93, 0.931),
        effect("gate", "b", "spatial", 0.93, 0.5),
        effect("gate", "b", "channel", 0.93, 0.97),
        effect("stage", "s1", "spatial", 0.93, 0.9301),
        effect("stage", "s3", "spatial", 0.93, 0.41),
        effect("all", "", "both", 0.93, 0.01),
    ]
    assert telling.summary(rows, CAT, Constant(1.0), TITLES) == (
        "Without the spatial maps of stage 3, **cat falls from 93.0 % to 41.0 %**; without those "
        "of stage 1 nothing changes. Without the spatial map of stage 3, block 2, **cat falls from "
        "93.0 % to 50.0 %**; without that of stage 1, block 1 nothing changes."
    )
    assert telling.summary(rows[:3], CAT, Mean(), TITLES) == (
        "With its mean in place of the spatial map of stage 3, block 2, **cat falls from 93.0 % to "
        "50.0 %**; the same at stage 1, block 1 changes nothing."
    )
    assert telling.summary(rows[:1], CAT, Mean(), TITLES) == (
        "No single gate changes much here: cat stays near 93.0 %."
    )
    assert telling.summary([], CAT, Mean(), TITLES) == ""


@pytest.mark.parametrize(
    ("by", "one", "told"),
    [
        (Constant(1.0), True, "Without the map"),
        (Constant(0.0), True, "With 0 in place of the map"),
        (Constant(0.25), False, "With 0.25 in place of the map"),
        (Mean(), True, "With its mean in place of the map"),
        (Mean(), False, "With means in place of the map"),
        (Shuffled(seed=3), False, "With the map shuffled"),
    ],
)
def test_replacements_in_words(by, one, told):
    assert telling.with_instead(by, "the map", one=one) == told


@pytest.mark.parametrize(
    ("aim", "after", "told"),
    [
        (CAT, 0.41, "cat falls from 93.0 % to 41.0 %"),
        (CAT, 0.99, "cat rises from 93.0 % to 99.0 %"),
        (CAT, 0.9302, "cat stays at 93.0 %"),
        (CAT, 0.0, "cat falls from 93.0 % to 0.0 %"),
        (Aim("object", 0, "cat", 0.93), 0.0, "cat is not found any more (its score was 93.0 %)"),
        (Aim("class", 0, "*", 0.2), 0.4, r"\* rises from 20.0 % to 40.0 %"),
    ],
)
def test_what_becomes_of_it_in_words(aim, after, told):
    assert telling.moves(aim, after) == told
