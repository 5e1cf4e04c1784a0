"""Networks of one's own code in the app, and the controls of the input."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import cbam_viz
from cbam_viz.models import offered
from tests.ui.streamlits import memory


class Grey(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)
        self.place, self.classifier = nn.Conv2d(8, 1, 1), nn.Linear(8, 3)
        self.num_classes = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return self.classifier((x * torch.sigmoid(self.place(x))).mean((2, 3)))


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setattr(offered, "_offered", {})
    offered.offer("mine.py:net", cbam_viz.wrap_model(Grey().eval(), name="mine"))


def words(app) -> str:
    return " ".join(one.value for one in (*app.sidebar.caption, *app.error, *app.sidebar.error))


def test_own_networks_come_first_and_their_photo_is_grey(own, open_app) -> None:
    app = open_app()
    assert not app.exception
    (network,) = [box for box in app.sidebar.selectbox if box.label == "Network"]
    assert network.options[0] == "mine.py:net"
    assert network.value == "mine.py:net"
    assert "Input: 224 × 224 crop in grey, ImageNet mean and std of grey (assumed" in words(app)
    assert "Random weights" not in words(app)
    shown = memory(app).scene.photo.shown
    assert (shown[..., 0] == shown[..., 2]).all()


def test_without_own_code_there_is_none(open_app, monkeypatch) -> None:
    monkeypatch.setattr(offered, "_offered", {})
    app = open_app(model="mine.py:net")
    assert "mine.py:net" not in app.sidebar.selectbox[1].options
    assert not app.exception


def test_the_input_is_changed_and_what_is_wrong_is_said(own, open_app) -> None:
    app = open_app()
    size, mean = (
        next(one for one in app.sidebar.text_input if one.label == label)
        for label in ("Size", "Mean")
    )
    size.set_value("64x96")
    mean.set_value("none")
    app.run()
    assert "Input: 96 × 64 crop in grey, values from 0 to 1 (size and normalisation" in words(app)
    analysis = memory(app).scene.analysis
    assert analysis.geometry.input_size == (64, 96)
    next(one for one in app.sidebar.text_input if one.label == "Size").set_value("big")
    app.run()
    assert "is no size; write 640" in words(app)
    next(one for one in app.sidebar.text_input if one.label == "Size").set_value("9000")
    app.run()
    assert "up to 1,048,576 pixels" in words(app)
    assert not app.exception


def test_a_detector_without_a_gate_is_told_by_what_it_finds(open_app, monkeypatch) -> None:
    monkeypatch.setattr(offered, "_offered", {})

    class Rows(Grey):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[:, None].repeat(1, 5, 1)

    def decode(output: torch.Tensor) -> cbam_viz.Detections:
        side = float(output[0, 0, 0].sigmoid()) * 100
        return cbam_viz.Detections([[0, 0, side, side], [0, 0, 9, 9]], [0.75, 0.5], [1, 0])

    net = cbam_viz.wrap_model(Rows().eval(), classes=("cat", "dog", "owl"), decode=decode)
    offered.offer("mine.py:net", net)
    app = open_app("how")
    app.toggle(key="without_channel").set_value(True).run()
    assert not app.exception
    text = "\n".join(one.value for one in app.markdown)
    assert "Without the channel weights of this layer it finds **2** (with them: 2)." in text
    assert re.search(r"[12] of these it finds again: of the same class", text)
    assert "No prediction" not in "\n".join(one.value for one in app.info)


def test_all_that_the_command_line_asks_of_an_input_is_in_the_sidebar(own, open_app) -> None:
    app = open_app()
    numbers = {one.label: one for one in app.sidebar.number_input}
    numbers["Crop share"].set_value(0.5)
    filters = next(one for one in app.sidebar.selectbox if one.label == "Interpolation")
    filters.set_value("nearest")
    names = next(one for one in app.sidebar.text_area if one.label == "Class names")
    names.set_value("cat\ndog\nowl")
    app.run()
    assert not app.exception
    assert "crop as asked" in words(app)
    scene = memory(app).scene
    assert (scene.loaded.spec.crop_pct, scene.loaded.spec.interpolation) == (0.5, "nearest")
    assert {one.label for one in scene.analysis.predictions} == {"cat", "dog", "owl"}
    next(one for one in app.sidebar.text_area if one.label == "Class names").set_value("[1, {")
    app.run()
    assert "What you have written holds no class names that can be used" in words(app)
    next(one for one in app.sidebar.number_input if one.label == "Channels").set_value(3)
    app.run()
    assert "It was given 3 channels" in words(app)
    assert not app.exception


def test_a_network_without_gates_shows_what_it_predicts(open_app, monkeypatch) -> None:
    class Plain(Grey):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.stem(x).mean((2, 3)))

    monkeypatch.setattr(offered, "_offered", {})
    offered.offer("mine.py:plain", cbam_viz.wrap_model(Plain().eval(), classes=("a", "b", "c")))
    for page in ("", "how"):
        app = open_app(page) if page else open_app()
        assert not app.exception
        assert not app.error
        (said,) = app.info
        assert "gates no feature map" in said.value
        assert "the page Compare" in said.value
        assert [one.value for one in app.subheader] == ["Prediction"]
