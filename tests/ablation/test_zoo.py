"""Gates of every kind of code, replaced by themselves and by others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cbam_viz.ablation import ablate
from cbam_viz.errors import CaptureError, NoAttentionError
from cbam_viz.gates import capture
from cbam_viz.gates.layout.inputs import tensors_in
from tests.gates.networks import hooks_of
from tests.gates.zoo import sequential, squash
from tests.gates.zoo.truth import host, photo

from .zoo import NETWORKS, WITHOUT


def same(one: Any, two: Any) -> bool:
    """Whether two outputs are equal to the bit."""
    pairs = zip(tensors_in(one), tensors_in(two), strict=True)
    return all(torch.equal(a, b) or torch.allclose(a, b, 0, 0, equal_nan=True) for a, b in pairs)


def own_gates(attention: Any) -> dict[str, dict[str, Tensor]]:
    """What each gate was."""
    kinds = ("channel", "spatial")
    return {
        name: {kind: gate for kind in kinds if (gate := getattr(layer, kind)) is not None}
        for name, layer in attention.items()
    }


ROUNDED = {("folded, tokens in windows", torch.inference_mode)}
"""Under inference mode, a linear layer on tokens that lie apart in memory is multiplied in other
steps where operations are watched, as in a capture."""


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gate_replaced_by_itself_changes_no_bit(name: str, mode: Any) -> None:
    model, x = NETWORKS[name]()
    with mode():
        output = model(*x)
        if name in WITHOUT:
            with pytest.raises((NoAttentionError, CaptureError)), ablate(model, {"*": "one"}):
                model(*x)
            return
        attention = capture(model, *x)
        gates = own_gates(attention)
        assert gates
        with ablate(model, gates) as block:
            found = model(*x)
        if (name, mode) in ROUNDED:
            torch.testing.assert_close(found, output, rtol=0, atol=1e-6)
            output = found
        else:
            assert same(found, output)
        for layer, own in gates.items():
            for kind, gate in own.items():
                acted = block.acted[layer, kind]
                assert acted.shape == gate.shape
                assert torch.equal(acted, gate) or acted.isnan().any()
        assert hooks_of(model) == 0
        with ablate(model, {"*": lambda gate: gate * 0 + 0.7}):
            other = model(*x)
        assert not same(other, output)
        if (name, mode) not in ROUNDED:
            assert same(model(*x), output)


def with_numbers(model: Any, channel: float | None, spatial: float | None) -> None:
    """Let the parts that make gates give one number, whatever they see."""
    for layer in (model.first, model.second):
        if channel is not None:
            layer.channel = lambda x: torch.full((*x.shape[:2], 1, 1), channel)
        if spatial is not None:
            layer.spatial = lambda x: torch.full((len(x), 1, *x.shape[2:]), spatial)


WRITTEN = [
    name
    for name, make in {**sequential.STRUCTURES}.items()
    if issubclass(make, sequential.Gates)
    and name not in ("InPlaceSigmoid", "UpsampledMap", "GateOverwritten")
]


@pytest.mark.parametrize("kind", ["channel", "spatial"])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_number_in_place_of_a_gate(name: str, kind: str) -> None:
    """As the same network whose code gives that number."""
    model, other, x = *(host(sequential.STRUCTURES[name]) for _ in range(2)), photo()
    with_numbers(other, *((0.3, None) if kind == "channel" else (None, 0.3)))
    with torch.no_grad(), ablate(model, {"*": {kind: 0.3}}):
        found = model(x)
    with torch.no_grad():
        assert torch.equal(found, other(x))


def test_the_zoo_is_all_there() -> None:
    assert len(NETWORKS) > 150
    assert set(squash.STRUCTURES) <= set(NETWORKS)
