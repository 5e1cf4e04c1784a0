"""Where cells lie, against receptive fields found by sending NaN through the network.

A NaN in one input row spoils exactly the output rows whose receptive field holds it. The attention
layer itself is left out of the network that is probed, for its gates see the whole map.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import timm
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from cbam_viz.attention import Cells
from cbam_viz.gates import capture
from tests.gates.networks import authors_cbam, photos, timm_cbam


def conv(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(4, 4, kernel, stride, padding, dilation)


class Both(nn.Module):
    """Two ways added or put side by side, as in residual blocks and feature pyramids."""

    def __init__(self, one: nn.Module, two: nn.Module, cat: bool = False) -> None:
        super().__init__()
        self.one, self.two, self.cat = one, two, cat

    def forward(self, x: Tensor) -> Tensor:
        if self.cat:
            return torch.cat([self.one(x), self.two(x)], 1)
        return self.one(x) + self.two(x)


class Focus(nn.Module):
    """YOLOv5's stem: every second pixel, four times, which is a pixel unshuffle."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)], 1)


class Flipped(nn.Module):
    """Left and right exchanged, as in augmentation at test time, between strided convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 2, 1), conv(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).flip(-1))


class ChannelsLast(nn.Module):
    """A patch embedding that goes through (B, H, W, C) and tokens and back."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.proj = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = self.norm(x.permute(0, 2, 3, 1))
        tokens = self.proj(x.reshape(batch, height * width, channels))
        return tokens.transpose(1, 2).reshape(batch, channels, height, width)


EXACT: dict[str, Callable[[], nn.Module]] = {
    "3x3": lambda: conv(3, 1, 1),
    "strided": lambda: nn.Sequential(conv(3, 2, 1), conv(3, 2, 1)),
    "without padding": lambda: nn.Sequential(conv(5), conv(3, 2)),
    "even kernel": lambda: nn.Sequential(conv(4, 2, 1), conv(2, 2)),
    "patches": lambda: conv(4, 4),
    "dilated": lambda: nn.Sequential(conv(3, 2, 1), conv(3, 1, 2, 2)),
    "7x7 and max pooling": lambda: nn.Sequential(conv(7, 2, 3), nn.MaxPool2d(3, 2, 1)),
    "average pooling": lambda: nn.Sequential(conv(3, 2, 1), nn.AvgPool2d(2)),
    "ceil mode": lambda: nn.Sequential(
        nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(3, 2, 0, True)
    ),
    "dilated pooling": lambda: nn.MaxPool2d(3, 2, 1, dilation=2),
    "padded to one side": lambda: nn.Sequential(nn.ZeroPad2d((2, 0, 1, 0)), conv(3, 2)),
    "cropped": lambda: nn.Sequential(nn.ZeroPad2d((-3, -1, -5, 0)), conv(3, 2, 1)),
    "shortcut": lambda: Both(
        nn.Sequential(conv(3, 2, 1), conv(3, 1, 1)), nn.Sequential(nn.MaxPool2d(3, 2, 1), conv(1))
    ),
    "side by side": lambda: Both(conv(3, 2, 1), conv(5, 2, 2), cat=True),
    "focus": Focus,
    "flipped": Flipped,
    "tokens": lambda: nn.Sequential(conv(4, 4), ChannelsLast()),
    "back to input size": lambda: nn.Sequential(
        nn.AvgPool2d(3, 3), nn.Upsample(scale_factor=3, mode="bilinear", align_corners=False)
    ),
    "adaptive": lambda: nn.Sequential(conv(3, 1, 1), nn.AdaptiveAvgPool2d((11, 8))),
    "shuffled": lambda: nn.Sequential(conv(2, 2), nn.PixelUnshuffle(2), nn.Conv2d(16, 4, 1)),
}

HEIGHT, WIDTH = 44, 64


def network(body: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    inside = body()
    channels = inside(torch.zeros(1, 4, HEIGHT, WIDTH)).shape[1]
    return nn.Sequential(nn.Conv2d(3, 4, 1), inside, CbamModule(channels, rd_channels=1)).eval()


def centres(part: Callable[[Tensor], Tensor], size: tuple[int, int], axis: int) -> dict[int, float]:
    """Middle of each output row's (column's) receptive field, for those that no border cuts."""
    length = size[axis]
    image = torch.rand(length, 3, *size)
    for k in range(length):
        image[k].select(1 + axis, k).fill_(torch.nan)
    with torch.no_grad():
        spoilt = part(image).isnan().any(1)
    spoilt = spoilt.any(2 - axis)  # (length, rows): does input row k reach output row i?
    ends = {}
    for i, reach in enumerate(spoilt.T):
        (inside,) = reach.nonzero(as_tuple=True)
        if len(inside):
            ends[i] = (int(inside[0]), int(inside[-1]))
    widest = max(last - first for first, last in ends.values())
    return {
        i: (first + last + 1) / 2 for i, (first, last) in ends.items() if last - first == widest
    }


def assert_placed(cells: Cells, part: Callable[[Tensor], Tensor], size: tuple[int, int]) -> None:
    for axis, start, step in (
        (0, cells.offset_y, cells.stride_y),
        (1, cells.offset_x, cells.stride_x),
    ):
        true = centres(part, size, axis)
        assert len(true) >= 3, "the network is too deep for this image"
        for i, centre in true.items():
            assert start + i * step == pytest.approx(centre, abs=1e-9), f"axis {axis}, cell {i}"


@pytest.mark.parametrize("name", EXACT)
def test_cells_are_centres_of_receptive_fields(name: str) -> None:
    model = network(EXACT[name])
    with torch.no_grad():
        cells = capture(model, photos(1, HEIGHT, WIDTH))["2"].cells
    assert cells is not None
    assert cells.exact
    if name == "back to input size":  # a cell of the enlarged map sees up to two pooled ones
        assert (cells.stride_y, cells.offset_y) == pytest.approx((1, 0.5))
        return
    assert_placed(cells, lambda x: model[1](model[0](x)), (HEIGHT, WIDTH))


@pytest.mark.parametrize(
    ("make", "block"),
    [(timm_cbam, "layer1.0"), (timm_cbam, "layer2.0"), (authors_cbam, "layer1.1")],
)
def test_resnet(make: Callable[[], nn.Module], block: str) -> None:
    size, model = (100, 116), make()
    with torch.no_grad():
        cells = capture(model, photos(1, *size))[f"{block}.se"].cells
    probe = copy.deepcopy(model)
    for module in list(probe.modules()):
        if hasattr(module, "se"):
            module.se = nn.Identity()
    seen: list[Tensor] = []
    probe.get_submodule(block).se.register_forward_hook(lambda m, a, out: seen.append(out.clone()))

    def part(x: Tensor) -> Tensor:
        seen.clear()
        for few in x.split(16):
            stem = probe.maxpool(probe.act1(probe.bn1(probe.conv1(few))))
            body = probe.layer1(stem)
            if block.startswith("layer2"):
                probe.layer2(body)
        return torch.cat(seen)

    assert cells is not None
    assert cells.exact
    assert_placed(cells, part, size)


def test_last_stage_of_a_resnet_at_an_odd_size() -> None:
    """A 200 x 320 input gives 7 x 10 cells; 7 * 32 would be 224."""
    with torch.no_grad():
        layer = capture(timm_cbam(), photos(1, 200, 320))["layer4.1.se"]
    assert layer.spatial.shape == (1, 7, 10)
    assert layer.cells == Cells(32.0, 32.0, 0.5, 0.5, exact=True)


def test_deep_stem_with_average_shortcuts() -> None:
    """ResNet-D: the centre of 2 x 2 cells is half a cell beside that of 3 x 3, stage by stage."""
    torch.manual_seed(0)
    model = timm.create_model(
        "resnet10t", block_args={"attn_layer": "cbam"}, zero_init_last=False
    ).eval()
    with torch.no_grad():
        attention = capture(model, photos(1, 96, 64))
    assert [layer.cells.stride_y for layer in attention.values()] == [4, 8, 16, 32]
    assert [layer.cells.offset_y for layer in attention.values()] == [0.5, 0.5, 2.5, 6.5]
    assert [layer.cells.within for layer in attention.values()] == [0, 0, 2, 6]
    assert [layer.cells.exact for layer in attention.values()] == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tf_efficientnet_b0", {"se_layer": "cbam"}),  # pads by size
        ("ese_vovnet19b_dw", {"attn": "cbam"}),  # pools in ceil mode
        ("resnet18", {"block_args": {"attn_layer": "cbam"}}),
    ],
)
def test_other_sizes_later_are_placed_as_if_first(name: str, arguments: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, **arguments).eval()
    sizes = [(64, 64), (65, 96), (70, 81)]
    with torch.no_grad():
        later = [capture(model, photos(1, *size)) for size in sizes]
        for size, attention in zip(sizes, later, strict=True):
            fresh = capture(copy.deepcopy(model), photos(1, *size))
            for key, layer in fresh.items():
                assert layer.cells == attention[key].cells
                assert layer.cells.exact


def test_what_cannot_be_known_is_said() -> None:
    """Uneven adaptive pooling, and a map made by a matrix product over positions."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Parameter(torch.rand(6 * 8, HEIGHT * WIDTH))

        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(2) @ self.mix.T).reshape(*x.shape[:2], 6, 8)

    for body in (lambda: nn.AdaptiveAvgPool2d((6, 9)), Mixed):
        with torch.no_grad():
            layer = capture(network(body), photos(1, HEIGHT, WIDTH))["2"]
        rows, columns = layer.spatial.shape[1:]
        assert not layer.cells.exact
        assert layer.cells.stride_y == pytest.approx(HEIGHT / rows)
        assert layer.cells.offset_x == pytest.approx(WIDTH / columns / 2)
