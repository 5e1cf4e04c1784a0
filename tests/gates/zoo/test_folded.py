"""Frames and windows folded into the batch: gates of each, and places kept on the way back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.attention import Cells
from cbam_viz.gates import capture

from .skips import Cbam, Squeeze
from .test_exact import same
from .truth import CHANNELS, Attentive, Gates, photo, ready, truths

SIDE = 4


def windows(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B * windows, C, 4, 4)."""
    batch, channels, height, width = x.shape
    parted = x.view(batch, channels, height // SIDE, SIDE, width // SIDE, SIDE)
    return parted.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, SIDE, SIDE)


def joined(x: Tensor, height: int, width: int) -> Tensor:
    """And back."""
    parted = x.view(-1, height // SIDE, width // SIDE, x.shape[1], SIDE, SIDE)
    return parted.permute(0, 3, 1, 4, 2, 5).reshape(-1, x.shape[1], height, width)


class Folded(Attentive):
    """A convolution, then `way`, with the parts that it may use."""

    def __init__(self, way: Callable[[Folded, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.gates = Gates(CHANNELS)
        self.squeeze, self.score = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, 1)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, self.stem(x.flatten(0, -4)))


def _cbam_in_windows(net: Folded, x: Tensor) -> Tensor:
    y = windows(x)
    ca = net.gates.channel(y)
    y = y * ca
    sa = net.gates.spatial(y)
    net.note(ca, sa)
    return joined(y * sa, *x.shape[2:])


def _noted(net: Folded, y: Tensor) -> Tensor:
    """CBAM on pictures that a way has put into the batch."""
    ca = net.gates.channel(y)
    y = y * ca
    sa = net.gates.spatial(y)
    net.note(ca, sa)
    return y * sa


def _windows_by_unfold(net: Folded, x: Tensor, side: int, step: int) -> Tensor:
    y = x.unfold(2, side, step).unfold(3, side, step).permute(0, 2, 3, 1, 4, 5)
    return _noted(net, y.reshape(-1, CHANNELS, side, side))


def _columns_of_windows(net: Folded, x: Tensor) -> Tensor:
    """nn.Unfold: (B, C * 16, windows)."""
    y = F.unfold(x, SIDE, stride=SIDE).transpose(1, 2)
    return _noted(net, y.reshape(-1, CHANNELS, SIDE, SIDE))


def _convolved_columns(net: Folded, x: Tensor) -> Tensor:
    """The same, and a convolution within each window that changes its size."""
    y = F.unfold(x, SIDE, stride=SIDE).transpose(1, 2).reshape(-1, CHANNELS, SIDE, SIDE)
    return _noted(net, F.avg_pool2d(F.conv2d(y, net.gates.mlp[0].weight.repeat(2, 1, 1, 1)), 2))


def _stacked_windows(net: Folded, x: Tensor) -> Tensor:
    y = [part for row in x.chunk(3, 2) for part in row.chunk(2, 3)]
    return _noted(net, torch.stack(y, 1).flatten(0, 1))


def _stacked_pictures(net: Folded, x: Tensor) -> Tensor:
    """A picture and its mirror image, one behind the other."""
    y = _noted(net, torch.stack([x, x.flip(-1)], 1).flatten(0, 1))
    return y.unflatten(0, (-1, 2)).mean(1)


def _channels_last_in_windows(net: Folded, x: Tensor) -> Tensor:
    y = windows(x).permute(0, 2, 3, 1).contiguous()
    ca = net.squeeze(y.mean((1, 2), keepdim=True)).sigmoid()
    net.note(ca.flatten(1))
    return joined((y * ca).permute(0, 3, 1, 2), *x.shape[2:])


def _tokens_in_windows(net: Folded, x: Tensor) -> Tensor:
    y = windows(x).flatten(2).transpose(1, 2)
    sa = net.score(y).sigmoid()
    net.note(spatial=sa.view(-1, SIDE, SIDE))
    return joined((y * sa).transpose(1, 2).reshape(-1, CHANNELS, SIDE, SIDE), *x.shape[2:])


def _windows_beside_the_batch(net: Folded, x: Tensor) -> Tensor:
    """(B, windows, C, 4, 4), features of five dimensions."""
    y = windows(x)
    ca = net.gates.channel(y)
    net.note(ca)
    split = (x.shape[0], -1)
    return (y.unflatten(0, split) * ca.unflatten(0, split)).flatten(0, 1)


def _one_gate_for_all_windows(net: Folded, x: Tensor) -> Tensor:
    ca = net.gates.channel(x)
    net.note(ca)
    return windows(x).unflatten(0, (x.shape[0], -1)) * ca.unsqueeze(1)


def _frames(net: Folded, x: Tensor) -> Tensor:
    """(B, 3, C, H, W): three frames each."""
    ca = net.gates.channel(x)
    y = x.unflatten(0, (-1, 3)) * ca.unflatten(0, (-1, 3))
    sa = net.gates.spatial(y.flatten(0, 1))
    net.note(ca, sa)
    return (y * sa.unflatten(0, (-1, 3))).mean(1)


def _one_gate_for_all_frames(net: Folded, x: Tensor) -> Tensor:
    y = x.unflatten(0, (-1, 3))
    sa = net.gates.spatial(y.mean(1))
    net.note(spatial=sa.repeat_interleave(3, 0))
    return (y * sa[:, None]).mean(1)


WAYS: dict[str, Callable[[Folded, Tensor], Tensor]] = {
    "CBAM in windows": _cbam_in_windows,
    "windows by unfold": partial(_windows_by_unfold, side=4, step=4),
    "some windows by unfold": partial(_windows_by_unfold, side=5, step=5),
    "windows that overlap": partial(_windows_by_unfold, side=6, step=3),
    "columns of windows": _columns_of_windows,
    "convolved columns of windows": _convolved_columns,
    "stacked windows": _stacked_windows,
    "stacked pictures": _stacked_pictures,
    "channels last in windows": _channels_last_in_windows,
    "tokens in windows": _tokens_in_windows,
    "windows beside the batch": _windows_beside_the_batch,
    "one gate for all windows": _one_gate_for_all_windows,
    "frames": _frames,
    "one gate for all frames": _one_gate_for_all_frames,
}


@pytest.mark.parametrize("shape", [(3,), (6,), (1, 3), (2, 3)], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_each_window_and_frame_has_its_gates(way: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = ready(Folded(WAYS[way]))
    for seed in (1, 2):
        x = torch.randn(*shape, 3, 24, 20, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            attention = capture(ready(model), x)
        (layer,), (truth,) = attention.values(), truths(model).values()
        assert layer.composition == truth.composition
        assert same(layer.channel, truth.channel)
        assert same(layer.spatial, truth.spatial)
        assert layer.verified
        if "window" in way:  # each has its own place, so that none is claimed
            assert layer.cells is None or not layer.cells.exact
        assert attention.unsupported == ()


class FramesInChannels(nn.Module):
    """Three frames of three colours each in the channels of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cbam = nn.Conv2d(3, CHANNELS, 3, padding=1), Cbam(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.stem(x.view(-1, 3, *x.shape[2:]))
        return self.cbam(frames).view(x.shape[0], -1, *x.shape[2:])


@pytest.mark.parametrize("batch", [1, 2])
def test_frames_out_of_the_inputs_channels(batch: int) -> None:
    torch.manual_seed(0)
    model = ready(FramesInChannels())
    with torch.no_grad():
        attention = capture(model, torch.randn(batch, 9, 12, 10))
    (layer,), (truth,) = attention.values(), truths(model).values()
    assert layer.channel.shape == (3 * batch, CHANNELS)
    assert same(layer.channel, truth.channel)
    assert same(layer.spatial, truth.spatial)


class Swin(nn.Module):
    """Attention inside windows beside a residual, or windows made and undone, then CBAM."""

    def __init__(self, *, mixed: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1)
        self.qkv, self.out = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.mixed, self.cbam = mixed, Cbam(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if not self.mixed:
            return self.cbam(joined(windows(x), *x.shape[2:]))
        tokens = windows(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).chunk(3, -1)
        mixed = self.out((q @ k.transpose(1, 2)).softmax(-1) @ v).transpose(1, 2)
        return self.cbam(x + joined(mixed.reshape(-1, CHANNELS, SIDE, SIDE), *x.shape[2:]))


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_map_behind_windows_lies_where_its_cells_do(batch: int, mixed: bool) -> None:
    """Pixel 2 i is the middle of cell i's field: centres at 2 i + 0.5, through windows and back."""
    torch.manual_seed(0)
    model = ready(Swin(mixed=mixed))
    with torch.no_grad():
        attention = capture(model, photo(batch, 48, 40))
    (layer,), (truth,) = attention.values(), truths(model).values()
    assert same(layer.channel, truth.channel)
    assert same(layer.spatial, truth.spatial)
    assert layer.cells == Cells(2.0, 2.0, 0.5, 0.5, exact=True)


class Depth(nn.Module):
    """Space into depth by hand: blocks of 2 x 2 pixels become channels, which are gated."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 2, 3, padding=1), Squeeze(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
        return self.gate(x.reshape(batch, -1, height // 2, width // 2))


@pytest.mark.parametrize("batch", [1, 2])
def test_blocks_of_pixels_become_channels(batch: int) -> None:
    torch.manual_seed(0)
    model = ready(Depth())
    with torch.no_grad():
        attention = capture(model, photo(batch))
    (layer,), (truth,) = attention.values(), truths(model).values()
    assert layer.composition == "channel"
    assert same(layer.channel, truth.channel)
