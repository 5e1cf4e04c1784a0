"""Predictions without a gate, compared with networks that are written without it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cbam_viz
from cbam_viz.ablation import ablate, analyse_with
from cbam_viz.gates import capture
from cbam_viz.images import prepare, read_photo, samples
from cbam_viz.steps import analyse_steps
from tests.gates.networks import authors_cbam, hooks_of, photos, timm_cbam
from tests.steps.nets import KINDS, Functional, image, made

HALVES = {"channel": ("channel", "ChannelGate"), "spatial": ("spatial", "SpatialGate")}


def without_half(net: nn.Module, at: str, kind: str, x: Tensor) -> Tensor:
    """The network where a half of one layer gives back what it received."""
    layer = net.get_submodule(at)
    half = next(getattr(layer, name) for name in HALVES[kind] if hasattr(layer, name))
    handle = half.register_forward_hook(lambda _module, args, _out: args[0])
    try:
        return net(x)
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", ["channel", "spatial"])
@pytest.mark.parametrize("make", [timm_cbam, lambda: timm_cbam("lcbam"), authors_cbam])
@torch.no_grad()
def test_ones_in_place_of_a_gate_are_the_layer_without_it(make, kind: str) -> None:
    net, x = make(), photos(1)
    output = net(x)
    for name in ("layer1.0.se", "layer4.1.se"):
        with ablate(net, {name: {kind: "one"}}):
            found = net(x)
        assert torch.equal(found, without_half(net, name, kind, x))  # to the bit
        assert not torch.equal(found, output)
    assert torch.equal(net(x), output)
    assert hooks_of(net) == 0


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_gates_that_no_module_has_are_replaced_too(kind: str) -> None:
    net, x = made(Functional, kind), image()
    for gate in ("channel", "spatial"):
        with ablate(net, {"*": {gate: "one"}}):
            found = net(x)
        torch.testing.assert_close(found, net(x, **{gate: 1.0}), rtol=0, atol=0)
    with ablate(net, {"*": "one"}):
        found = net(x)
    torch.testing.assert_close(found, net(x, channel=1.0, spatial=1.0), rtol=0, atol=0)


@torch.no_grad()
def test_a_call_of_a_module_that_runs_twice_is_its_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = timm_cbam().layer1[0].se

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(torch.relu(self.inner(x)) + 1).mean((2, 3))

    net, x = Twice().eval(), torch.randn(1, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    attention = capture(net, x, steps=True)
    second = [*attention.values()][1]
    with ablate(net, {second.name: {"spatial": "one"}}):
        found = net(x)
    middle = torch.relu(net.inner(x)) + 1
    assert torch.equal(found, net.inner.channel(middle).mean((2, 3)))


@torch.no_grad()
def test_other_threads_run_the_whole_network_meanwhile() -> None:
    net, x = timm_cbam(), photos(1)
    output = net(x)
    others: list[Tensor] = []

    def other() -> None:
        with torch.no_grad():
            others.append(net(x))

    with ablate(net, {"layer1.0.se": {"channel": "one"}}):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        net(x)
    assert torch.equal(others[0], output)


def test_predictions_without_a_gate() -> None:
    net = timm_cbam()
    loaded = cbam_viz.wrap_model(net, classes=[f"thing {n}" for n in range(7)])
    photo = read_photo(samples()[0].path)
    analysis = analyse_steps(loaded, photo, "layer3.0.se")
    layer = analysis.attention["layer3.0.se"]
    x = prepare(photo, loaded.spec).tensor
    for kind in ("channel", "spatial"):
        found = analyse_with(loaded, analysis, {layer.name: {kind: "one"}})
        with torch.inference_mode():
            expected = without_half(net, "layer3.0.se", kind, x)[0].softmax(0)
        best = found.predictions[0]
        assert best.index == int(expected.argmax())
        assert best.label == f"thing {best.index}"
        np.testing.assert_allclose(best.probability, float(expected.max()), atol=1e-6)
    plain = cbam_viz.analyse(loaded, photo)  # without its steps
    gates = {plain.layers[0].name: {"channel": "one"}}
    assert analyse_with(loaded, plain, gates).predictions
