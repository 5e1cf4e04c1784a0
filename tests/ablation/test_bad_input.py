"""Mistakes that users make with other gates: one sentence each, and the network is as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cbam_viz
from cbam_viz.ablation import (
    Channels,
    Constant,
    Painted,
    Shuffled,
    channel_importance,
    effects,
    gate_means,
)
from cbam_viz.errors import CaptureError, CbamVizError, MetricError
from tests.ablation.test_effects import Known, inputs


@pytest.fixture(scope="module")
def net() -> Known:
    return Known().eval()


GATES = {
    "a layer that is not there": (lambda n: {"layer9": "one"}, "There is no layer 'layer9'"),
    "a pattern of none": (lambda n: {"foo.*": "one"}, r"There is no layer 'foo\.\*'"),
    "a number for a layer": (lambda n: {3: "one"}, "named by texts, such as 'layer4'; 3 is none"),
    "no gate of it": (lambda n: {n: {}}, "'channel' or 'spatial': say which"),
    "a gate misspelt": (lambda n: {n: {"spatail": "one"}}, "not 'spatail'"),
    "a word misspelt": (lambda n: {n: "ones"}, "'ones' is nothing that a gate can be replaced by"),
    "a mask of another shape": (lambda n: {n: {"spatial": np.ones((2, 2))}}, "2 × 2, and this"),
    "no numbers": (lambda n: {n: {"spatial": np.full((3, 4), np.nan)}}, "no finite numbers"),
    "one that is none": (lambda n: {n: {"spatial": [[1, 2, 3, np.inf]] * 3}}, "3 of 12 values"),
    "nan": (lambda n: {n: float("nan")}, "replaced by nan: give a finite number"),
    "infinity": (lambda n: {n: np.float32("inf")}, "replaced by inf: give a finite number"),
    "complex numbers": (lambda n: {n: {"spatial": np.ones((3, 4), complex)}}, "not complex"),
    "texts": (lambda n: {n: ["a", "b"]}, "no numbers"),
    "a function that fails": (lambda n: {n: lambda gate: 1 / 0}, "fails: ZeroDivisionError"),
    "a function of nothing": (lambda n: {n: lambda gate: None}, "no numbers"),
    "a seed below zero": (lambda n: {n: Shuffled(seed=-1)}, "whole number from 0 on, not -1"),
    "a channel that is not there": (
        lambda n: {n: {"channel": Channels((7,), Constant(1))}}, "There is no channel 7",
    ),
    "half a channel": (lambda n: {n: Channels((1.5,), "one")}, "chosen by their numbers"),
    "channels by a misspelt word": (lambda n: {n: Channels((1,), "ones")}, "'ones' is nothing"),
    "paint that is none": (lambda n: {n: {"spatial": Painted(np.ones((3, 4)), "red")}}, "no numb"),
}  # fmt: skip


@pytest.mark.parametrize("what", GATES)
@torch.no_grad()
def test_gates_that_cannot_be(net: Known, what: str) -> None:
    made, text = GATES[what]
    x = inputs(2)
    before = net(x)
    (name,) = cbam_viz.capture(net, x)
    with pytest.raises(CaptureError, match=text) as told, cbam_viz.ablate(net, made(name)):
        net(x)
    assert "\n" not in str(told.value)
    assert torch.equal(net(x), before)


@torch.no_grad()
def test_a_gate_that_is_no_number_may_be_given_back() -> None:
    class Broken(Known):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate = torch.sigmoid(self.weight * x.mean(1, keepdim=True))
            return (x * torch.where(gate > 0.6, torch.nan, gate)).sum((2, 3))

    net, x = Broken().eval(), inputs(1)
    attention = cbam_viz.capture(net, x)
    (name,) = attention
    own = attention[name].spatial
    assert own.isnan().any()
    with cbam_viz.ablate(net, {name: {"spatial": own}}):
        again = net(x)
    assert torch.equal(again.isnan(), attention.output.isnan())


@torch.no_grad()
def test_single_channels_take_any_replacement_by_name(net: Known) -> None:
    x = inputs(1)
    (name,) = cbam_viz.capture(net, x)
    outputs = []
    for by in ("zero", 0.0, Constant(0.0)):
        with cbam_viz.ablate(net, {name: {"channel": Channels((1,), by)}}):
            outputs.append(net(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


EFFECTS = {
    "a class by name": ({"targets": ["cat", "dog"]}, "There is no class 'cat'"),
    "half a class": ({"targets": [0.5, 1]}, "There is no class 0.5"),
    "a unit misspelt": ({"units": ("layer",)}, "There is no unit 'layer': take gate or stage"),
    "a kind misspelt": ({"kinds": "spatail"}, "There is no gate 'spatail'"),
    "no kind": ({"kinds": ()}, "No gate was named"),
    "no score": ({"score": None}, "There is no score None"),
    "no scores": ({"score": []}, "Say what is measured"),
    "a score that fails": ({"score": lambda out: out.boxes}, "The score fails on the network's"),
    "no photo at a time": ({"batch": 0}, "At least one photo"),
    "a seed below zero": ({"seed": -1}, "A seed is a whole number from 0 on, not -1"),
    "half a seed": ({"seed": 0.5}, "A seed is a whole number from 0 on, not 0.5"),
    "a level in percent": ({"level": 95}, "between 0 and 1"),
}


@pytest.mark.parametrize("what", EFFECTS)
def test_effects_that_cannot_be_measured(net: Known, what: str) -> None:
    options, text = EFFECTS[what]
    with pytest.raises(MetricError, match=text) as told:
        effects(net, inputs(2), **options)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("photos", [["a.jpg"], [np.zeros((2, 3, 4))], [torch.zeros(3, 4)]])
@pytest.mark.parametrize("measure", [effects, gate_means])
def test_photos_that_are_none(net: Known, photos: list, measure) -> None:
    with pytest.raises(MetricError, match="Photos are given as tensors"):
        measure(net, photos)


def test_classes_by_a_tensor_and_kinds_by_one_word(net: Known) -> None:
    found = effects(net, inputs(2), targets=torch.tensor([1, 0]), kinds="spatial", units="gate")
    assert found.targets == (1, 0)
    assert [(row.unit, row.kind) for row in found.rows] == [("gate", "spatial")]


def test_one_photo_of_no_numbers_is_named_by_no_accuracy(net: Known) -> None:
    x = inputs(3)
    x[1] = torch.nan
    with pytest.raises(MetricError, match="no finite numbers"):
        effects(net, x, "agreement", batch=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"copies": 0}, "At least one copy"),
        ({"channels": []}, "No channel was given to be tried"),
        ({"channels": [5]}, "There is no channel 5"),
        ({"target": "cat"}, "There is no class 'cat'"),
    ],
)
def test_channels_that_cannot_be_tried(net: Known, options: dict, text: str) -> None:
    x = inputs(1)
    (name,) = cbam_viz.capture(net, x)
    with pytest.raises(CbamVizError, match=text):
        channel_importance(net, x, name, **options)
