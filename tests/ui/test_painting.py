"""Painting on a map in What if: what a browser may say, and what the network multiplies by then."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cbam_viz
from cbam_viz.ablation import Painted
from cbam_viz.images import prepare, read_photo, samples
from cbam_viz.ui.parts import painter, strokes
from cbam_viz.ui.parts.strokes import Brushed, Strokes
from tests.app_checkpoint import CLASSES, NAME
from tests.ui.streamlits import go_to, memory
from tests.ui.test_whatif import Mixed, component, offer, text

LAYER = "layer4.1.se"


def sent(*each: list, done: int | None = None, revision: int = 1) -> dict:
    return {"strokes": list(each), "done": len(each) if done is None else done,
            "revision": revision}  # fmt: skip


@pytest.fixture(scope="module")
def network(checkpoint_folder):
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    return loaded.model, prepare(read_photo(samples()[0].path), loaded.spec).tensor


def shares(network, cells: dict[int, float], layer: str = LAYER) -> torch.Tensor:
    """Probabilities with numbers in cells of a layer's map, by Python alone."""
    model, x = network
    own = cbam_viz.capture(model, x)[layer].spatial[0].clone()
    for cell, value in cells.items():
        own.view(-1)[cell] = value
    with cbam_viz.ablate(model, {layer: {"spatial": own}}), torch.inference_mode():
        return model(x)[0].softmax(0)


def paint(app, said: dict, frame: str | None = None):
    """What the component's message does, as `_take_strokes` reads it."""
    shown = component(app, "whatif_painter")
    count = shown["rows"] * shown["columns"]
    found = strokes.read(said, count, shown["low"], shown["high"])
    assert found is not None
    memory(app).kept[painter.Paintings].made[frame or shown["frame"]] = found
    return app.run()


def says(app, expected: torch.Tensor) -> None:
    assert not app.exception
    assert not app.error
    best = expected.topk(5)
    rows = component(app, "whatif_after")["rows"]
    assert [row["label"] for row in rows] == [CLASSES[i] for i in best.indices]
    assert [row["share"] for row in rows] == pytest.approx(best.values.tolist(), abs=1e-6)


def test_strokes_are_put_on_one_after_another_and_undone() -> None:
    said = sent([[3, 0.5], [4, 0.5]], [[4, 1], [5, 0]], [[3, None]])
    for done, cells in (
        (3, {4: 1, 5: 0}),
        (2, {3: 0.5, 4: 1, 5: 0}),
        (1, {3: 0.5, 4: 0.5}),
        (0, {}),
    ):
        found = strokes.read(said | {"done": done}, 6, 0, 1)
        assert dict(found.brushed((2, 3)).cells) == cells
    gate = torch.rand(2, 2, 3)
    made = Brushed((2, 3), ((4, 1.0), (5, 0.0)))(gate)
    expected = gate.clone()
    expected[:, 1, 1], expected[:, 1, 2] = 1, 0
    assert torch.equal(made, expected)
    assert Brushed((2, 3), ((4, 1.0),)) == Brushed((2, 3), ((4, 1.0),))


GOOD = sent([[0, 0.5]])


@pytest.mark.parametrize(
    "said",
    [
        None, [], "x", {}, GOOD | {"strokes": 3}, GOOD | {"done": 2}, GOOD | {"done": -1},
        GOOD | {"done": True}, GOOD | {"revision": "1"}, GOOD | {"strokes": [3]},
        sent([[6, 0.5]]), sent([[-1, 0.5]]), sent([[0.0, 0.5]]), sent([[0, 1.5]]),
        sent([[0, -0.1]]), sent([[0, float("nan")]]), sent([[0, "1"]]), sent([[0, True]]),
        sent([[0]]), sent([0]), sent(*[[]] * 201), sent([[0, 0.5]] * 100_001),
    ],
)  # fmt: skip
def test_what_is_no_stroke_is_nothing(said) -> None:
    assert strokes.read(GOOD, 6, 0, 1) == Strokes((((0, 0.5),),), 1, 1)
    assert strokes.read(said, 6, 0, 1) is None


def test_what_is_painted_is_what_the_network_multiplies_by(open_app, network):
    app = open_app("whatif", layer=LAYER, whatif_by="painted")
    assert "With nothing painted yet on the spatial map of stage 4, block 2, **" in text(app)
    says(app, shares(network, {}))
    assert not [one for one in app.segmented_control if one.key == "whatif_reach"]
    shown = component(app, "whatif_painter")
    model, x = network
    own = cbam_viz.capture(model, x)[LAYER]
    np.testing.assert_allclose(shown["values"], own.spatial.flatten(), atol=2e-6)
    assert (shown["low"], shown["high"], shown["painting"]["strokes"]) == (0, 1, [])
    first, second = [[16, 0], [17, 0], [24, 0]], [[16, 1], [25, 0.37]]
    paint(app, sent(first))
    assert "With what is painted on the spatial map of stage 4, block 2, **" in text(app)
    says(app, shares(network, {16: 0, 17: 0, 24: 0}))
    paint(app, sent(first, second, revision=2))
    says(app, shares(network, {16: 1, 17: 0, 24: 0, 25: 0.37}))
    assert component(app, "whatif_painter")["painting"] == sent(first, second, revision=2)
    paint(app, sent(first, second, done=1, revision=3))
    says(app, shares(network, {16: 0, 17: 0, 24: 0}))


def test_a_stroke_takes_one_forward_and_undoing_none(open_app):
    app = open_app("whatif", layer=LAYER, whatif_by="painted")
    calls = []
    model = memory(app).scene.loaded.model
    handle = model.conv1.register_forward_hook(lambda *_: calls.append(1))
    try:
        paint(app, sent([[16, 0]]))  # learnt anew: there is a hook now
        calls.clear()
        paint(app, sent([[16, 0]], [[17, 0.5]], revision=2))
        assert len(calls) == 1
        paint(app, sent([[16, 0]], [[17, 0.5]], done=1, revision=3))
        paint(app, sent([[16, 0]], [[17, 0.5]], revision=4))
        app.selectbox(key="set_colormap").set_value("grey").run()
        assert len(calls) == 1
    finally:
        handle.remove()


def test_each_layer_has_its_own_painting_and_the_link_has_the_brush_alone(open_app, network):
    app = open_app(
        "whatif", layer=LAYER, whatif_by="painted", whatif_value="0.25", whatif_brush="3"
    )
    shown = component(app, "whatif_painter")
    assert (shown["value"], shown["brush"], shown["most"]) == (0.25, 3, 4)
    paint(app, sent([[24, 0]]))
    app.selectbox(key="set_layer").set_value("layer3.0.se").run()
    other = component(app, "whatif_painter")
    assert (other["rows"], other["painting"]["strokes"]) == (14, [])
    assert other["frame"] != shown["frame"]
    go_to(app, "how")
    go_to(app, "whatif")
    app.selectbox(key="set_layer").set_value(LAYER).run()
    says(app, shares(network, {24: 0}))
    link = {name: value for name, value in app.query_params.items() if name.startswith("whatif_")}
    assert link == {"whatif_by": ["painted"], "whatif_value": ["0.25"], "whatif_brush": ["3"]} or (
        link == {"whatif_by": "painted", "whatif_value": "0.25", "whatif_brush": "3"}
    )
    again = open_app("whatif", **app.query_params)
    assert component(again, "whatif_painter")["painting"]["strokes"] == []
    assert "not what is painted" in text(again)


@pytest.mark.parametrize(("name", "value"), [("value", "2"), ("value", "x"), ("brush", "0")])
def test_a_brush_that_a_link_may_not_have_is_named(open_app, name, value):
    app = open_app("whatif", layer=LAYER, whatif_by="painted", **{f"whatif_{name}": value})
    assert not app.exception
    assert [name in one.value for one in app.info] == [True]


def test_gates_in_turn_are_replaced_by_their_mean_meanwhile(open_app):
    app = open_app("whatif", layer=LAYER, whatif_by="painted", whatif_every="1")
    assert not app.exception
    assert len(app.dataframe[0].value) == 16


class Raw(nn.Module):
    """A map from -2 on, which nothing keeps between 0 and 1."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.place = nn.Conv2d(3, 8, 3, 8, 1), nn.Conv2d(8, 1, 3, 1, 1)
        self.classifier = nn.Linear(8, 3)
        numbers = torch.Generator().manual_seed(0)
        for weight in self.parameters():
            nn.init.normal_(weight, generator=numbers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        return self.classifier((y * (3 * torch.tanh(5 * self.place(y)))).mean((2, 3)))


def test_a_map_beyond_0_and_1_is_painted_as_far_as_it_goes(open_app, monkeypatch):
    offer(monkeypatch, Raw())
    app = open_app("whatif", whatif_by="painted")
    assert not app.exception
    assert not app.error
    shown = component(app, "whatif_painter")
    low, high = min(shown["values"]), max(shown["values"])
    assert low < -0.1 or high > 1.1
    assert shown["low"] == pytest.approx(min(low, 0), abs=0.01)
    assert shown["high"] == pytest.approx(max(high, 1), abs=0.01)
    assert "not kept between 0 and 1, so you can paint from" in text(app)
    # The ends of the scale are those of the brush.
    ticks = [float(tick) for tick in shown["bar"]["ticks"]]
    assert ticks == pytest.approx([shown["low"], shown["high"]], abs=0.06)


def test_a_layer_without_a_map_is_one_sentence(open_app, monkeypatch):
    offer(monkeypatch, Mixed())
    app = open_app("whatif")
    layers = memory(app).scene.layers
    name = next(name for name, one in layers.items() if one.spatial is None)
    app = open_app("whatif", layer=name, whatif_by="painted", whatif_every="1")
    assert not app.exception
    assert not app.error
    (said,) = [one.value.replace("\\", "") for one in app.info]
    assert said.startswith("There is nothing to paint on: ")
    assert len(app.dataframe[0].value) == 2


def test_a_mask_and_what_is_brushed_give_the_same_bits(network):
    """The page's strokes, and `Painted` in Python."""
    model, x = network
    mask = torch.zeros(7, 7)
    mask.view(-1)[[16, 17]] = 1
    found = []
    for by in (Painted(mask, 0.37), Brushed((7, 7), ((16, 0.37), (17, 0.37)))):
        with cbam_viz.ablate(model, {LAYER: {"spatial": by}}), torch.inference_mode():
            found.append(model(x))
    assert torch.equal(*found)
