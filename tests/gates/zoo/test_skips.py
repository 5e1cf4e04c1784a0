"""A product that feeds more than the next gate and its product ends its layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.gates import capture

from .composition import SpatialFirst
from .skips import (
    APART,
    TOGETHER,
    Cbam,
    ChannelsOnSkip,
    CoarseOnSkip,
    Inline,
    OnSkip,
    Shortcut,
    Spatial,
    Squeeze,
    UNet,
)
from .test_exact import assert_exact, ready_again, same
from .truth import CHANNELS, photo, ready, truths

BLOCKS = {cls.__name__: cls for cls in (Squeeze, Shortcut, Spatial, Cbam, SpatialFirst)}
SKIPS = {cls.__name__: cls for cls in (OnSkip, CoarseOnSkip, ChannelsOnSkip)}


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_gate_on_a_skip_is_a_layer_of_its_own(block: str, skip: str) -> None:
    torch.manual_seed(0)
    model = ready(UNet(BLOCKS[block], SKIPS[skip]))
    for seed in (1, 2):
        x = photo(seed=seed)
        with torch.no_grad():
            attention = capture(model, x)
        assert_exact(attention, truths(ready_again(model, x)))
        assert list(attention) == ["block", "skip"]
        assert attention.unsupported == ()


@pytest.mark.parametrize("way", APART)
def test_what_else_is_fed_ends_the_layer(way: str) -> None:
    torch.manual_seed(0)
    model = ready(Inline(APART[way]))
    with torch.no_grad():
        attention = capture(model, photo())
    (truth,) = truths(model).values()
    channel, spatial = attention.values()
    assert (channel.composition, spatial.composition) == ("channel", "spatial")
    assert same(channel.channel, truth.channel)
    assert same(spatial.spatial, truth.spatial)


@pytest.mark.parametrize("way", TOGETHER)
def test_what_leads_nowhere_does_not(way: str) -> None:
    torch.manual_seed(0)
    model = ready(Inline(TOGETHER[way]))
    with torch.no_grad():
        attention = capture(model, photo())
    (truth,), (layer,) = truths(model).values(), attention.values()
    assert layer.composition == "channel then spatial"
    assert same(layer.channel, truth.channel)
    assert same(layer.spatial, truth.spatial)


ROWS: dict[str, tuple[Callable[[int], nn.Module], ...]] = {
    "squeeze, then a reversed CBAM": (Squeeze, SpatialFirst),
    "a map, then a CBAM": (Spatial, Cbam),
    "squeeze, then a CBAM": (Squeeze, Cbam),
    "CBAM, then a map": (Cbam, Spatial),
    "reversed CBAM, then a squeeze": (SpatialFirst, Squeeze),
    "CBAM, then a reversed one": (Cbam, SpatialFirst),
    "three in a row": (Squeeze, SpatialFirst, Cbam),
}


@pytest.mark.parametrize("row", ROWS)
def test_gates_of_one_module_belong_together(row: str) -> None:
    """Nothing lies between the blocks, so that the flow of data alone would allow other pairs."""
    torch.manual_seed(0)
    blocks = [make(CHANNELS) for make in ROWS[row]]
    model = ready(nn.Sequential(nn.Conv2d(3, CHANNELS, 3), *blocks, nn.Conv2d(CHANNELS, 2, 1)))
    with torch.no_grad():
        attention = capture(model, photo())
    assert_exact(attention, truths(model))
    assert list(attention) == [str(k + 1) for k in range(len(blocks))]


class Beside(Inline):
    """Both gates on the same features, and results that meet behind what is done to one of them."""

    def forward(self, x: Tensor) -> object:
        x = F.relu(self.stem(x))
        ca, sa = self.one.channel(x), self.two.spatial(x)
        self.note(ca, sa)
        return self.way(self, x * ca, x * sa)


MEETING: dict[str, tuple[Callable[[Inline, Tensor, Tensor], object], bool]] = {
    "added": (lambda net, y, z: y + z, True),
    "weighed and added": (lambda net, y, z: 0.5 * y + z, True),
    "both convolved": (lambda net, y, z: net.conv(y) + net.conv(z), True),
    "one convolved": (lambda net, y, z: torch.cat([net.conv(y), z], 1), False),
    "one pooled and enlarged": (
        lambda net, y, z: torch.cat([F.interpolate(F.max_pool2d(y, 2), size=z.shape[2:]), z], 1),
        False,
    ),
}


@pytest.mark.parametrize("way", MEETING)
def test_gates_side_by_side_meet_as_they_are(way: str) -> None:
    meet, together = MEETING[way]
    torch.manual_seed(0)
    model = ready(Beside(meet))
    with torch.no_grad():
        attention = capture(model, photo())
    (truth,) = truths(model).values()
    assert (len(attention) == 1) is together
    assert any(same(layer.channel, truth.channel) for layer in attention.values())
    assert any(same(layer.spatial, truth.spatial) for layer in attention.values())
