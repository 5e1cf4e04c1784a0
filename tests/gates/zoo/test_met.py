"""Gates that act by no product are told of; what only meets a gate is passed over."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture

from .met import ACTS, INNOCENT, Met, Unknown
from .test_exact import assert_exact, ready_again
from .truth import Gates, host, photo, truths


@pytest.mark.parametrize("name", ACTS)
def test_a_gate_that_cannot_be_read_is_told_of(name: str) -> None:
    """At the first capture and at later ones, of other photos, batches and sizes."""
    act, reason = ACTS[name]
    model = host(partial(Met, act=act))
    for seed, size in enumerate([(2, 24, 20), (2, 24, 20), (1, 32, 28), (3, 24, 20)]):
        with torch.no_grad():
            attention = capture(model, photo(*size, seed=seed))
        assert list(attention) == []
        told = [(one.module, one.reason) for one in attention.unsupported]
        assert told == [("first", reason), ("second", reason)]


@pytest.mark.parametrize("name", INNOCENT)
def test_what_meets_a_gate_and_is_not_scaled_is_passed_over(name: str) -> None:
    model = host(partial(Unknown, act=INNOCENT[name]))
    for seed in (1, 2):
        with torch.no_grad(), pytest.raises(NoAttentionError):
            capture(model, photo(seed=seed))


class Column(Gates):
    """Each channel a column times a matrix of one number: a product, by `bmm`."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        ca = self.channel(x)
        y = torch.bmm(ca.view(-1, 1, 1), x.reshape(batch * channels, 1, -1)).view_as(x)
        sa = self.spatial(y)
        self.note(ca, sa)
        last = y.permute(0, 2, 3, 1).reshape(batch, height * width, channels, 1)
        z = torch.matmul(last, sa.view(batch, -1, 1, 1))
        return z.view(batch, height, width, channels).permute(0, 3, 1, 2)


class Drawn(Gates):
    """Channels are kept by chance, each as its weight says."""

    def forward(self, x: Tensor) -> Tensor:
        drawn = torch.bernoulli(self.channel(x))
        self.note(drawn)
        return x * drawn


class Prepared(Gates):
    """The results have tensors of their own, made before."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        y = torch.addcmul(torch.zeros_like(x), x, ca)
        sa = self.spatial(y)
        self.note(ca, sa)
        return torch.addcmul(torch.zeros_like(y), y, sa)


class TwoToThePower(Gates):
    """2 to the power of the logits, which no sigmoid bounds."""

    def forward(self, x: Tensor) -> Tensor:
        ca = 2.0 ** (-self.channel_logits(x).abs())
        y = x * ca
        sa = 2.0 ** (-self.spatial_logits(y).abs())
        self.note(ca, sa)
        return y * sa


@pytest.mark.parametrize("make", [Column, Drawn, Prepared, TwoToThePower])
def test_products_in_other_clothes_are_exact(make: type[Gates]) -> None:
    model = host(make)
    for seed, size in enumerate([(2, 24, 20), (2, 24, 20), (1, 32, 28)]):
        x = photo(*size, seed=seed)
        torch.manual_seed(seed)
        with torch.no_grad():
            attention = capture(model, x)
        torch.manual_seed(seed)
        assert_exact(attention, truths(ready_again(model, x)))
        assert attention.unsupported == ()
