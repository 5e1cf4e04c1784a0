"""Attention of other kinds is reported, and products that are no attention are passed over."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.capture import capture
from cbam_viz.errors import NoAttentionError

from . import innocent, sequential, unsupported
from .test_exact import SIZES, assert_exact
from .truth import Make, host, photo, truths

REASONS = {
    "JointGate": ("joint",),
    "JointSum": ("joint",),
    "DenseGate": ("dense", "every value", "joint"),
    "Triplet": ("permuted", "axes", "axis"),
    "TripletView": ("permuted", "axes", "axis"),
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", unsupported.STRUCTURES)
def test_other_attention_is_reported(name: str, size: tuple[int, int, int]) -> None:
    model = host(unsupported.STRUCTURES[name])
    with torch.no_grad():
        attention = capture(model, photo(*size))
    assert list(attention) == []
    assert {entry.module for entry in attention.unsupported} == {"first", "second"}


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
