"""Attention of other kinds is reported, and products that are no attention are passed over."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.capture import capture
from cbam_viz.errors import NoAttentionError

from . import arithmetic, innocent, sequential, unsupported
from .test_exact import SIZES, assert_exact
from .truth import Make, host, photo, truths

REASONS = {
    "JointGate": ("joint",),
    "JointSum": ("joint",),
    "DenseGate": ("dense", "every value", "joint"),
    "Triplet": ("permuted", "axes", "axis"),
    "TripletView": ("permuted", "axes", "axis"),
    "SiblingGate": ("joint",),
    "GatedUnit": ("dense",),
    "Blend": ("lerp",),
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", unsupported.STRUCTURES)
def test_other_attention_is_reported(name: str, size: tuple[int, int, int]) -> None:
    model = host(unsupported.STRUCTURES[name])
    with torch.no_grad():
        attention = capture(model, photo(*size))
    assert list(attention) == []
    assert {entry.module for entry in attention.unsupported} == {"first", "second"}


def test_a_result_without_layers_says_why() -> None:
    """`capture` returns what it saw, output included; asking for a layer tells the reason."""
    model = host(unsupported.JointGate)
    with torch.no_grad():
        attention = capture(model, photo())
        assert torch.equal(attention.output, model(photo()))
    assert "0 layers" in repr(attention)
    with pytest.raises(KeyError, match=r"no layer 'first'.*not captured: first \(one joint gate"):
        attention["first"]


@pytest.mark.parametrize("name", REASONS)
def test_reasons_say_what_it_is(name: str) -> None:
    model = host(unsupported.STRUCTURES[name])
    with torch.no_grad():
        attention = capture(model, photo())
    assert attention.unsupported
    for entry in attention.unsupported:
        assert any(word in entry.reason for word in REASONS[name]), entry.reason


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", innocent.STRUCTURES)
def test_what_is_no_attention_is_passed_over(name: str, size: tuple[int, int, int]) -> None:
    model = host(innocent.STRUCTURES[name])
    with torch.no_grad(), pytest.raises(NoAttentionError):
        capture(model, photo(*size))


class Beside(nn.Module):
    """Products that are no attention, followed by a CBAM."""

    def __init__(self, make: Make, channels: int) -> None:
        super().__init__()
        self.innocent = make(channels)
        self.cbam = sequential.GatesReturned(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.cbam(self.innocent(x)) + x


@pytest.mark.parametrize("name", innocent.STRUCTURES)
def test_what_is_no_attention_is_not_paired_with_gates(name: str) -> None:
    model = host(partial(Beside, innocent.STRUCTURES[name]))
    with torch.no_grad():
        attention = capture(model, photo(1))
    assert_exact(attention, truths(model))
    assert list(attention) == ["first.cbam", "second.cbam"]
    assert attention.unsupported == ()


class Volume(nn.Module):
    """CBAM on (B, C, D, H, W), or on signals (B, C, L)."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        convolution = {1: nn.Conv1d, 3: nn.Conv3d}[dimensions]
        self.places = tuple(range(2, 2 + dimensions))
        self.stem, self.mlp = convolution(3, 8, 3, padding=1), convolution(8, 8, 1)
        self.score = convolution(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x * self.mlp(x.mean(self.places, keepdim=True)).sigmoid()
        maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.score(maps).sigmoid()


@pytest.mark.parametrize(("dimensions", "shape"), [(1, (30,)), (3, (6, 7, 8))])
def test_gates_on_volumes_and_signals_are_reported(dimensions: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Volume(dimensions)).eval()
    for batch in (1, 2):
        with torch.no_grad():
            attention = capture(model, torch.randn(batch, 3, *shape))
        assert list(attention) == []
        assert [entry.module for entry in attention.unsupported] == ["0"]
        assert f"{2 + dimensions} dimensions" in attention.unsupported[0].reason


AMBIGUOUS = {
    "OneStatement": sequential.OneStatement,
    "ProductOfGates": arithmetic.ProductOfGates,
    "JointGate": unsupported.JointGate,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_gate_left_out_on_maps_of_one_cell_is_named(name: str) -> None:
    model = host(AMBIGUOUS[name])
    with torch.no_grad():
        attention = capture(model, photo(2, 2, 2))
    assert {entry.module for entry in attention.unsupported} == {"first", "second"}
    assert all("one cell" in entry.reason for entry in attention.unsupported)
