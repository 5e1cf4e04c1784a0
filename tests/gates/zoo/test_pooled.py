"""Summing gated features up is no reason to lose their gates, and weights of sums are no gates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture

from . import composition, lone, sequential, squash
from .pooled import ENDS, IN_ONE_PRODUCT, NO_GATES, Ending, PooledBySoftmax
from .test_exact import assert_exact, ready_again, same
from .truth import Make, photo, ready, truths

GATED: dict[str, Make] = {
    "OneStatement": sequential.OneStatement,
    "SpatialFirst": composition.SpatialFirst,
    "ParallelSum": composition.ParallelSum,
    "Squashed[none]": squash.STRUCTURES["Squashed[none]"],
    "Squashed[hard sigmoid in place]": squash.STRUCTURES["Squashed[hard sigmoid in place]"],
    "SqueezeExcite": lone.SqueezeExcite,
    "SpatialOnly": lone.SpatialOnly,
}


def ending(make: Make, end: object) -> nn.Module:
    torch.manual_seed(0)
    return ready(Ending(make, end))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", GATED)
def test_the_end_of_a_network_does_not_matter(name: str, end: str) -> None:
    model = ending(GATED[name], ENDS[end])
    for batch, seed in ((2, 1), (2, 2), (1, 3)):
        x = photo(batch, seed=seed)
        with torch.no_grad():
            attention = capture(model, x)
        assert_exact(attention, truths(ready_again(model, x)))
        assert list(attention) == ["gated"]
        assert all(layer.verified for layer in attention.values())
        assert attention.unsupported == ()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", NO_GATES)
def test_weights_of_a_sum_are_no_gates(name: str, batch: int) -> None:
    model = ending(NO_GATES[name], nn.Identity())
    with torch.no_grad(), pytest.raises(NoAttentionError):
        capture(model, photo(batch))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", IN_ONE_PRODUCT)
def test_gates_inside_a_matrix_product_are_named(name: str, batch: int) -> None:
    model = ending(IN_ONE_PRODUCT[name], nn.Identity())
    with torch.no_grad():
        attention = capture(model, photo(batch))
    assert list(attention) == []
    (entry,) = attention.unsupported
    assert entry.module == "gated"
    assert "summed up in the same matrix product" in entry.reason


def test_a_pooling_by_weights_after_a_gate_is_named() -> None:
    """Its weights would be the map of a CBAM, were they not there to pool."""
    model = ending(PooledBySoftmax, nn.Identity())
    with torch.no_grad():
        attention = capture(model, photo())
    (layer,), (truth,) = attention.values(), truths(model).values()
    assert layer.composition == "channel"
    assert same(layer.channel, truth.channel)
    assert [entry.reason for entry in attention.unsupported] == [
        "weights by which gated features are summed up: a pooling, no gate"
    ]


class OfOnePlace(nn.Module):
    """Attention over the patches of a map, as MobileViT-v2's, which on a small map are one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.qkv = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 17, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.unfold(F.avg_pool2d(self.stem(x), x.shape[-1] // 2), 2, stride=2)
        q, k, v = self.qkv(x.view(len(x), 8, 4, -1)).split([1, 8, 8], 1)
        context = (k * q.softmax(-1)).sum(-1, keepdim=True)
        return torch.relu(v) * context.expand_as(v)


def test_the_share_of_the_only_one_is_no_gate() -> None:
    torch.manual_seed(0)
    with torch.no_grad(), pytest.raises(NoAttentionError):
        capture(OfOnePlace().eval(), torch.randn(2, 3, 8, 8))
