"""Where maps lie behind merges and enlargements: the cell that answers to a pixel lies on it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import pytest
import timm
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.attention import Cells
from cbam_viz.gates import capture
from tests.gates.networks import AuthorsCbam, photos
from tests.gates.perturbation import assert_answered_in_place, averaging

HEIGHT, WIDTH = 96, 128
C = 4

Forward = Callable[[Mapping[str, nn.Module], Tensor], Tensor]


def conv(inputs: int = C, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Module:
    """A convolution to four channels whose cells lie on those of the input."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(nn.Conv2d(inputs, C, kernel, stride, padding, dilation), nn.ReLU())


def down(times: int, inputs: int = 3) -> nn.Sequential:
    """Strided convolutions, which look at every second cell."""
    return nn.Sequential(*(conv(C if k else inputs, 3, 2) for k in range(times)))


class Net(nn.Module):
    """A forward written out, and CBAM behind it."""

    def __init__(self, forward: Forward, channels: int = C, **modules: nn.Module) -> None:
        super().__init__()
        self.path, self.parts = forward, nn.ModuleDict(modules)
        self.cbam = CbamModule(channels, rd_channels=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.cbam(self.path(self.parts, x))


def cells_of(model: nn.Module, size: tuple[int, int] = (HEIGHT, WIDTH)) -> list[Cells]:
    """Cells of the maps of all layers, in order."""
    with torch.no_grad():
        attention = capture(averaging(model), photos(1, *size).double())
    assert attention.unsupported == ()
    return [layer.cells for layer in attention.values() if layer.cells is not None]


def assert_in_place(model: nn.Module, size: tuple[int, int] = (HEIGHT, WIDTH)) -> list[Cells]:
    """All maps of the model lie where their cells answer."""
    found = cells_of(model, size)
    gates = [module for module in model.modules() if isinstance(module, CbamModule)]
    assert len(found) == len(gates)
    for gate, cells in zip(gates, found, strict=True):
        assert_answered_in_place(model, gate, gates, cells, size)
    return found


UP: dict[str, Callable[[], nn.Module]] = {
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "nearest-exact": lambda: nn.Upsample(scale_factor=2, mode="nearest-exact"),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear between corners": lambda: nn.Upsample(
        scale_factor=2, mode="bilinear", align_corners=True
    ),
    "bicubic": lambda: nn.Upsample(scale_factor=2, mode="bicubic"),
    "transposed 2": lambda: nn.ConvTranspose2d(C, C, 2, 2),
    "transposed 3": lambda: nn.ConvTranspose2d(C, C, 3, 2, 1, 1),
    "transposed 4": lambda: nn.ConvTranspose2d(C, C, 4, 2, 1),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(C, 4 * C, 1), nn.PixelShuffle(2)),
}


class UNet(nn.Module):
    """Three levels, CBAM where a level's features and the enlarged deeper ones meet."""

    def __init__(self, up: Callable[[], nn.Module], *, pool: bool, cat: bool) -> None:
        super().__init__()
        wide = 2 * C if cat else C
        self.cat = cat
        self.encoder = nn.ModuleList(conv(C if k else 3) for k in range(4))
        self.down = nn.ModuleList(nn.MaxPool2d(2) if pool else conv(stride=2) for _ in range(3))
        self.up = nn.ModuleList(up() for _ in range(3))
        self.cbam = nn.ModuleList(CbamModule(wide, rd_channels=1) for _ in range(3))
        self.decoder = nn.ModuleList(conv(wide) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.encoder[0](x)]
        for encode, smaller in zip(self.encoder[1:], self.down, strict=True):
            skips.append(encode(smaller(skips[-1])))
        x = skips.pop()
        for up, cbam, decode in zip(self.up, self.cbam, self.decoder, strict=True):
            skip, x = skips.pop(), up(x)
            x = decode(cbam(torch.cat([x, skip], 1) if self.cat else x + skip))
        return x


@pytest.mark.parametrize("cat", [True, False], ids=["cat", "sum"])
@pytest.mark.parametrize("up", UP)
def test_unet_of_strided_convolutions(up: str, cat: bool) -> None:
    """All levels of the encoder share one centre; most ways back up do not keep it."""
    found = assert_in_place(UNet(UP[up], pool=False, cat=cat))
    assert [(cells.stride_y, cells.offset_y) for cells in found] == [(4, 0.5), (2, 0.5), (1, 0.5)]
    if up == "transposed 3":
        assert all(cells.exact and cells.within == 0 for cells in found)
    else:
        # Level by level, half a step of the deeper level's too far up and left.
        off = {"bilinear between corners": [4, 6, 7]}.get(up, [2, 3, 3.5])
        assert [cells.exact for cells in found] == [False] * 3
        assert [cells.within for cells in found] == pytest.approx(off)


@pytest.mark.parametrize("cat", [True, False], ids=["cat", "sum"])
@pytest.mark.parametrize("up", UP)
def test_unet_of_poolings(up: str, cat: bool) -> None:
    """The original: pooling 2 x 2 centres each level elsewhere, and most ways back up undo it."""
    found = assert_in_place(UNet(UP[up], pool=True, cat=cat))
    assert [(cells.stride_y, cells.offset_y) for cells in found] == [(4, 2), (2, 1), (1, 0.5)]
    exact = up not in ("transposed 3", "bilinear between corners")
    assert [cells.exact for cells in found] == [exact] * 3


def enlarged(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
    """Seen in steps of 16 and enlarged, 7.5 px too far up and left."""
    return F.interpolate(m["deep"](x), scale_factor=16)


MERGES: dict[str, Callable[[], Net]] = {
    "cat": lambda: Net(lambda m, x: torch.cat([enlarged(m, x), x], 1), C + 3, deep=down(4)),
    "cat, then one half": lambda: Net(
        lambda m, x: m["mix"](torch.cat([enlarged(m, x), m["fine"](x)], 1)).chunk(2, 1)[1],
        deep=down(4), fine=conv(3, 1), mix=nn.Conv2d(2 * C, 2 * C, 3, 1, 1),
    ),
    "sum": lambda: Net(lambda m, x: enlarged(m, x) + m["fine"](x), deep=down(4), fine=conv(3, 1)),
    "in place": lambda: Net(
        lambda m, x: enlarged(m, x).add_(m["fine"](x)), deep=down(4), fine=conv(3, 1)
    ),
    "stack and sum": lambda: Net(
        lambda m, x: torch.stack([enlarged(m, x), m["fine"](x)]).sum(0),
        deep=down(4), fine=conv(3, 1),
    ),
    "product": lambda: Net(
        lambda m, x: enlarged(m, x) * m["fine"](x), deep=down(4), fine=conv(3, 1)
    ),
    "where": lambda: Net(
        lambda m, x: torch.where(x[:, :1] > 0, enlarged(m, x) + m["fine"](x), enlarged(m, x)),
        deep=down(4), fine=conv(3, 1),
    ),
    "maximum": lambda: Net(
        lambda m, x: torch.maximum(enlarged(m, x) / 2, m["fine"](x)), deep=down(4), fine=conv(3, 1)
    ),
    "lerp": lambda: Net(
        lambda m, x: torch.lerp(enlarged(m, x), m["fine"](x), 0.5), deep=down(4), fine=conv(3, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MERGES)
def test_the_finer_of_two_paths_has_the_say(name: str) -> None:
    (cells,) = assert_in_place(MERGES[name]())
    assert cells == Cells(1, 1, 0.5, 0.5, exact=False, within=7.5)


def test_an_enlarged_path_gives_way_to_one_that_never_was() -> None:
    """Both were seen in steps of 8; one went through 4 in between."""

    def forward(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        x = m["deep"](x)
        return m["again"](F.interpolate(x, scale_factor=2)) + x

    (cells,) = assert_in_place(Net(forward, deep=down(3), again=down(1, C)))
    assert cells == Cells(8, 8, 0.5, 0.5, exact=False, within=2)


def test_the_smaller_fields_have_the_say_among_equals() -> None:
    """ResNet-D's shortcut is an average of 2 x 2, the other path sees 5 x 5."""
    (cells,) = assert_in_place(
        Net(
            lambda m, x: m["body"](x) + F.avg_pool2d(m["stem"](x), 2),
            stem=conv(3), body=nn.Sequential(conv(3), conv(stride=2)),
        )
    )  # fmt: skip
    assert cells == Cells(2, 2, 1, 1, exact=False, within=0.5)


def pyramid(m: Mapping[str, nn.Module], x: Tensor) -> list[Tensor]:
    """FPN: lateral convolutions plus the enlarged level above, finest last."""
    levels = [m["stem"](x)]
    levels.append(m["two"](levels[-1]))
    levels.append(m["three"](levels[-1]))
    out = [m["lateral"](levels.pop())]
    while levels:
        skip = m["lateral"](levels.pop())
        out.append(skip + F.interpolate(out[-1], size=skip.shape[2:]))
    return out


PYRAMID: dict[str, Callable[[], nn.Module]] = {
    "stem": lambda: down(2), "two": lambda: down(1, C), "three": lambda: down(1, C),
    "lateral": lambda: conv(kernel=1),
}  # fmt: skip


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (97, 113)], ids=str)
def test_feature_pyramid(size: tuple[int, int]) -> None:
    parts = {name: make() for name, make in PYRAMID.items()}
    (cells,) = assert_in_place(Net(lambda m, x: pyramid(m, x)[-1], **parts), size)
    assert (cells.stride_y, cells.offset_y, cells.exact) == (4, 0.5, False)
    if size == (HEIGHT, WIDTH):
        assert cells.within == 6


def test_path_aggregation() -> None:
    """PAN, and every YOLO: down the pyramid and up again, side by side with what was there."""

    def forward(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        coarse, middle, fine = pyramid(m, x)
        middle = m["merge"](torch.cat([m["down"](fine), middle], 1))
        return torch.cat([m["down"](middle), coarse], 1)

    parts = {name: make() for name, make in PYRAMID.items()}
    model = Net(forward, 2 * C, down=conv(stride=2), merge=conv(2 * C, 1), **parts)
    (cells,) = assert_in_place(model)
    assert cells == Cells(16, 16, 0.5, 0.5, exact=False, within=6)


@pytest.mark.parametrize("level", [0, 1])
def test_high_resolution_network(level: int) -> None:
    """Two resolutions side by side, exchanging twice."""

    def forward(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        fine = m["stem"](x)
        coarse = m["down"](fine)
        for _ in range(2):
            fine, coarse = m["fine"](fine), m["coarse"](coarse)
            exchanged = fine + F.interpolate(m["one"](coarse), scale_factor=2)
            fine, coarse = exchanged, coarse + m["down"](fine)
        return (fine, coarse)[level]

    model = Net(
        forward, stem=down(2), down=conv(stride=2), fine=conv(), coarse=conv(), one=conv(kernel=1)
    )
    (cells,) = assert_in_place(model)
    assert (cells.stride_y, cells.offset_y) == ((4, 0.5), (8, 0.5))[level]
    assert (cells.exact, cells.within) == (False, 2)


def test_dense_and_dilated_networks() -> None:
    """What keeps resolution keeps centres, however wide it looks: exact."""

    def dense(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        features = [m["stem"](x)]
        for name in ("one", "two"):
            features.append(m[name](torch.cat(features, 1)))
        pooled = F.avg_pool2d(torch.cat(features, 1), 2)
        return torch.cat([pooled, m["three"](pooled)], 1)

    def spatial_pyramid(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        x = m["stem"](x)
        overall = F.interpolate(F.adaptive_avg_pool2d(x, 1), size=x.shape[2:], mode="bilinear")
        return torch.cat([x, m["wide"](x), m["wider"](x), overall], 1)

    (cells,) = assert_in_place(
        Net(dense, 4 * C, stem=down(1), one=conv(), two=conv(2 * C), three=conv(3 * C))
    )
    assert cells == Cells(4, 4, 1.5, 1.5)
    model = Net(spatial_pyramid, 4 * C, stem=down(2), wide=conv(dilation=2), wider=conv(dilation=4))
    (cells,) = assert_in_place(model)
    assert cells == Cells(4, 4, 0.5, 0.5)


def test_max_unpooling_goes_back_to_before_the_pooling() -> None:
    """Whatever the window: 3 x 3 with stride 2 keeps the centre, 2 x 2 does not."""

    def segnet(
        kernel: int, stride: int, padding: int, *, skip: bool
    ) -> Callable[[Mapping[str, nn.Module], Tensor], Tensor]:
        def forward(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
            x = m["stem"](x)
            y, at = F.max_pool2d(x, kernel, stride, padding, return_indices=True)
            y = F.max_unpool2d(m["deep"](y), at, kernel, stride, padding, output_size=x.shape[2:])
            return x + y if skip else y

        return forward

    for window in ((2, 2, 0), (3, 2, 1)):
        for skip in (False, True):
            (cells,) = assert_in_place(
                Net(segnet(*window, skip=skip), stem=down(1), deep=conv(kernel=1))
            )
            assert cells == Cells(2, 2, 0.5, 0.5)


def block_rows(x: Tensor, by: int) -> Tensor:
    """(B, C, H, W) to (B, C, H / by, by, W / by, by)."""
    height, width = x.shape[2:]
    return x.reshape(*x.shape[:2], height // by, by, width // by, by)


def shuffled_by_views(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.view(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, channels // 4, 2 * height, 2 * width)


def repeated(x: Tensor) -> Tensor:
    """Each cell twice, by expanding."""
    twice = x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2)
    return twice.reshape(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])


def in_windows(m: Mapping[str, nn.Module], x: Tensor, roll: int) -> Tensor:
    """Attention within windows of 4 x 4, as in Swin, and back in place."""
    batch, channels, height, width = x.shape
    moved = x.permute(0, 2, 3, 1).roll((-roll, -roll), (1, 2))
    cut = moved.reshape(batch, height // 4, 4, width // 4, 4, channels).permute(0, 1, 3, 2, 4, 5)
    tokens = m["mix"](cut.reshape(-1, 16, channels))
    tokens = tokens + 0.1 * F.scaled_dot_product_attention(tokens, tokens, tokens)
    back = tokens.reshape(batch, height // 4, width // 4, 4, 4, channels).permute(0, 1, 3, 2, 4, 5)
    whole = back.reshape(batch, height, width, channels).roll((roll, roll), (1, 2))
    return whole.permute(0, 3, 1, 2)


STEPS: dict[str, tuple[Callable[[], Net], Cells]] = {
    "pixel unshuffle": (
        lambda: Net(lambda m, x: F.pixel_unshuffle(m["a"](x), 2), 4 * C, a=conv(3)),
        Cells(2, 2, 1, 1),
    ),
    "pixel unshuffle by views": (
        lambda: Net(
            lambda m, x: block_rows(m["a"](x), 2).permute(0, 1, 3, 5, 2, 4).flatten(1, 3),
            4 * C, a=conv(3),
        ),
        Cells(2, 2, 1, 1),
    ),
    "pixel shuffle by views": (
        lambda: Net(
            lambda m, x: shuffled_by_views(m["b"](m["a"](x))), a=down(2), b=nn.Conv2d(C, 4 * C, 1)
        ),
        Cells(2, 2, -0.5, -0.5),
    ),
    "each cell twice": (lambda: Net(lambda m, x: repeated(m["a"](x)), a=down(2)),
                        Cells(2, 2, -0.5, -0.5)),
    "repeat_interleave": (
        lambda: Net(
            lambda m, x: m["a"](x).repeat_interleave(2, 2).repeat_interleave(2, 3), a=down(2)
        ),
        Cells(2, 2, -0.5, -0.5),
    ),
    "averages by views": (
        lambda: Net(lambda m, x: m["a"](x).unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)), a=down(2)),
        Cells(8, 8, 2.5, 2.5),
    ),
    "every second cell": (
        lambda: Net(lambda m, x: m["b"](m["a"](x)[..., 1::2, ::2]), a=down(1), b=conv()),
        Cells(4, 4, 2.5, 0.5),
    ),
    "nearest halves": (  # takes the left one of two
        lambda: Net(lambda m, x: F.interpolate(m["a"](x), scale_factor=0.5), a=down(1)),
        Cells(4, 4, 0.5, 0.5),
    ),
    "nearest-exact halves": (  # takes the right one
        lambda: Net(
            lambda m, x: F.interpolate(m["a"](x), scale_factor=0.5, mode="nearest-exact"), a=down(1)
        ),
        Cells(4, 4, 2.5, 2.5),
    ),
    "bilinear halves": (
        lambda: Net(
            lambda m, x: F.interpolate(m["a"](x), scale_factor=0.5, mode="bilinear"), a=down(1)
        ),
        Cells(4, 4, 1.5, 1.5),
    ),
    "by a factor that does not go into the size": (
        lambda: Net(
            lambda m, x: F.interpolate(m["a"](x), scale_factor=1.7, mode="bilinear"), a=down(1)
        ),
        Cells(2 / 1.7, 2 / 1.7, 0.5 + (1 / 1.7 - 1), 0.5 + (1 / 1.7 - 1)),
    ),
    "to a size, smoothed": (
        lambda: Net(
            lambda m, x: F.interpolate(m["a"](x), size=(36, 36), mode="bilinear", antialias=True),
            a=conv(3),
        ),
        Cells(96 / 36, 128 / 36, 48 / 36, 64 / 36),
    ),
    "between corners": (
        lambda: Net(
            lambda m, x: F.interpolate(m["a"](x), size=(20, 30), mode="bilinear",
                                       align_corners=True),
            a=down(1),
        ),
        Cells(2 * 47 / 19, 2 * 63 / 29, 0.5, 0.5),
    ),
    "windows": (
        lambda: Net(lambda m, x: in_windows(m, m["a"](x), 0), a=down(2), mix=nn.Linear(C, C)),
        Cells(4, 4, 0.5, 0.5),
    ),
    "shifted windows": (
        lambda: Net(lambda m, x: in_windows(m, m["a"](x), 2), a=down(2), mix=nn.Linear(C, C)),
        Cells(4, 4, 0.5, 0.5),
    ),
    "unfolded": (
        lambda: Net(
            lambda m, x: F.unfold(m["a"](x), 3, padding=1, stride=2).view(1, 9 * C, 24, 32),
            9 * C, a=down(1),
        ),
        Cells(4, 4, 0.5, 0.5),
    ),
    "unfolded, and back": (
        lambda: Net(
            lambda m, x: m["a"](x).unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 1, 2, 4, 3, 5)
            .reshape(1, C, 24, 32),
            a=down(2),
        ),
        Cells(4, 4, 0.5, 0.5),
    ),
    "every second cell, unfolded, and back": (
        lambda: Net(
            lambda m, x: F.unfold(m["a"](x), 2, dilation=2, stride=4)
            .view(1, C, 2, 2, 12, 16).permute(0, 1, 4, 2, 5, 3).reshape(1, C, 24, 32),
            a=down(1),
        ),
        Cells(4, 4, 0.5, 0.5),
    ),
    "flipped": (lambda: Net(lambda m, x: m["a"](x.flip(3)), a=down(2)),
                Cells(4, -4, 0.5, WIDTH - 0.5)),
    "divided by its norm": (
        lambda: Net(lambda m, x: 1 + F.normalize(m["a"](x)) * m["a"](x), a=down(2)),
        Cells(4, 4, 0.5, 0.5),
    ),
    "gated linear unit": (
        lambda: Net(
            lambda m, x: F.glu(m["b"](m["a"](x)), 1), a=down(2), b=nn.Conv2d(C, 2 * C, 1)
        ),
        Cells(4, 4, 0.5, 0.5),
    ),
    "transformer": (
        lambda: Net(
            lambda m, x: m["a"](x)
            + 0.01 * m["b"](m["a"](x).flatten(2).mT).mT.reshape(1, C, 24, 32),
            a=down(2), b=nn.TransformerEncoderLayer(C, 1, 8, batch_first=True),
        ),
        Cells(4, 4, 0.5, 0.5),
    ),
    "channels exchanged": (
        lambda: Net(lambda m, x: m["a"](x)[:, torch.tensor([3, 1, 2, 0])], a=down(2)),
        Cells(4, 4, 0.5, 0.5),
    ),
    "coordinates beside": (
        lambda: Net(
            lambda m, x: torch.cat([m["a"](x), torch.arange(32).to(x).expand(1, 1, 24, 32)], 1),
            C + 1, a=down(2),
        ),
        Cells(4, 4, 0.5, 0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_steps_that_are_known(name: str) -> None:
    make, expected = STEPS[name]
    (cells,) = assert_in_place(make())
    assert cells.exact
    assert vars(cells) == pytest.approx(vars(expected))


def shifted(x: Tensor) -> Tensor:
    """One channel a cell down, the others in place, by writing into parts."""
    out = torch.zeros_like(x)
    out[:, :1, 1:] = x[:, :1, :-1]
    out[:, 1:] = x[:, 1:]
    return out


def sampled(x: Tensor) -> Tensor:
    """Drawn a tenth larger."""
    turn = torch.eye(2, 3, dtype=x.dtype)[None] / 1.1
    grid = F.affine_grid(turn, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def filtered(x: Tensor) -> Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[2:])


UNKNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "rolled": lambda x: x.roll(3, 2),
    "sampled": sampled,
    "filtered": filtered,
    "written in parts": shifted,
    "folded": lambda x: F.fold(F.unfold(x, 3, padding=1), (24, 32), 3, padding=1),
    "rows picked": lambda x: x[:, :, torch.arange(23, -1, -1)],
    "added up": lambda x: x.cumsum(2),
    "sorted": lambda x: x.sort(3).values,
    "mixed": lambda x: (x.flatten(2) @ torch.eye(24 * 32, dtype=x.dtype)).view_as(x),
    "on its side": lambda x: x.transpose(2, 3),
    "scrambled": lambda x: x.transpose(2, 3).reshape(x.shape),
}


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        pytest.param(name, beside, id=f"{name}, {'added to what is known' if beside else 'alone'}")
        for name in UNKNOWN
        for beside in (False, True)
        if not (beside and name == "on its side")  # its rows would be added to columns
    ],
)
def test_what_is_not_known_is_not_exact(name: str, beside: bool) -> None:
    """Nor is what it is added to."""
    change = UNKNOWN[name]

    def forward(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        x = m["a"](x)
        return x + change(x) if beside else change(x)

    (cells,) = cells_of(Net(forward, a=down(2)))
    assert not cells.exact
    assert cells.within is None


def test_uneven_steps_say_how_uneven() -> None:
    """Adaptive pooling of 48 to 7, and nearest interpolation of 64 to 40."""
    (cells,) = assert_in_place(Net(lambda m, x: F.adaptive_avg_pool2d(m["a"](x), 7), a=down(1)))
    middles = [(math.floor(i * 48 / 7) + math.ceil((i + 1) * 48 / 7)) / 2 for i in range(7)]
    columns = [(math.floor(i * 64 / 7) + math.ceil((i + 1) * 64 / 7)) / 2 for i in range(7)]
    off = [abs(m - (i + 0.5) * 48 / 7) for i, m in enumerate(middles)]
    off += [abs(m - (i + 0.5) * 64 / 7) for i, m in enumerate(columns)]
    assert not cells.exact
    assert cells.within == pytest.approx(2 * max(off))

    (cells,) = assert_in_place(Net(lambda m, x: F.interpolate(m["a"](x), size=(48, 40)), a=down(1)))
    off = [math.floor(i * 1.6) - i * 1.6 for i in range(40)]
    assert (cells.stride_x, cells.exact) == (3.2, False)
    assert cells.offset_x == pytest.approx(0.5 + 2 * (max(off) + min(off)) / 2)
    assert cells.within == pytest.approx(2 * (max(off) - min(off)) / 2)


def test_a_gate_from_coarser_features_is_not_exact() -> None:
    """The map multiplies fine features, and was computed from enlarged ones."""

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.squeeze = nn.Conv2d(C, 1, 3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(F.interpolate(self.squeeze(x), scale_factor=4))

    with torch.no_grad():
        attention = capture(nn.Sequential(down(1), Gate()).eval(), photos(1, HEIGHT, WIDTH))
    (layer,) = attention.values()
    assert layer.cells == Cells(2, 2, 0.5, 0.5, exact=False, within=3)


class Fitted(nn.Module):
    """A decoder that fits what is enlarged to what it meets, each in another usual way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.fine, self.deep = how, conv(3, stride=2), down(3)
        self.cbam = CbamModule(C, rd_channels=1)

    def forward(self, x: Tensor) -> Tensor:
        fine, deep = self.fine(x), self.deep(x)
        height, width = fine.shape[2:]
        if self.how == "resized":
            deep = F.interpolate(deep, size=(height, width))
        else:
            deep = F.interpolate(deep, scale_factor=4)
            spare_y, spare_x = deep.shape[2] - height, deep.shape[3] - width
            if self.how == "padded":
                fine = F.pad(fine, (spare_x // 2, spare_x - spare_x // 2,
                                    spare_y // 2, spare_y - spare_y // 2))  # fmt: skip
            else:
                deep = deep[..., spare_y // 2 :, spare_x // 2 :][..., :height, :width]
        return self.cbam(fine + deep)


@pytest.mark.parametrize("first", [(64, 96), (70, 82)], ids=str)
@pytest.mark.parametrize("how", ["resized", "padded", "cropped"])
def test_other_sizes_later_are_placed_as_if_first(how: str, first: tuple[int, int]) -> None:
    """At the first size nothing may be left to pad or to crop; at others there is."""
    model = Fitted(how).eval()
    for size in (first, (70, 82), (64, 96), (75, 99)):
        with torch.no_grad():
            (layer,) = capture(model, photos(1, *size)).values()
            (fresh,) = capture(copy.deepcopy(model), photos(1, *size)).values()
        assert layer.cells == fresh.cells


@pytest.mark.parametrize("size", [(96, 128), (97, 117)], ids=str)
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "mobilenetv3_small_100"])
def test_networks_without_merges_of_resolutions_stay_exact(
    name: str, size: tuple[int, int]
) -> None:
    found = cells_of(AfterEachStage(name), size)
    assert found == [Cells(step, step, 0.5, 0.5) for step in (2, 4, 8, 16, 32)]


class AfterEachStage(nn.Module):
    """A network of timm with CBAM behind each of its stages."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = timm.create_model(name, features_only=True)
        channels = self.body.feature_info.channels()
        self.cbam = nn.ModuleList(CbamModule(n, rd_channels=1) for n in channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [cbam(one) for cbam, one in zip(self.cbam, self.body(x), strict=True)]


@pytest.mark.parametrize(
    ("name", "offsets"),
    [
        ("densenet121", (0.5, 0.5, 2.5, 6.5, 14.5)),
        ("resnet10t", (0.5, 0.5, 2.5, 6.5, 14.5)),
        ("dla34", (0.5, 1.5, 3.5, 7.5, 15.5)),
    ],
)
def test_networks_that_pool(name: str, offsets: tuple[float, ...]) -> None:
    """Dense blocks are pooled whole; the others' shortcuts are pooled, their other paths not."""
    found = (assert_in_place if name == "resnet10t" else cells_of)(AfterEachStage(name))
    assert tuple(cells.offset_y for cells in found) == offsets
    away = [0 if name == "densenet121" else offset - 0.5 for offset in offsets]
    assert [cells.within for cells in found] == away
    assert [cells.exact for cells in found] == [not one for one in away]


def test_hrnet_of_timm() -> None:
    """Its finest features are blurred by as many convolutions as the coarser ones: where those
    weigh as much, the cell that answers most may be the neighbour."""
    found = cells_of(AfterEachStage("hrnet_w18_small"))
    assert [(cells.stride_y, cells.offset_y) for cells in found] == [
        (step, 0.5) for step in (2, 4, 8, 16, 32)
    ]
    assert [cells.within for cells in found] == [0, 16, 14, 10, 6]


class ToMultiples(nn.Module):
    """Pads its input to multiples of 16 where it is none, before or in the middle of the pixels."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.deep = how, down(2)
        self.cbam = CbamModule(C, rd_channels=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = -x.shape[2] % 16, -x.shape[3] % 16
        if (height or width) and self.how == "both sides":
            sides = (width // 2, width - width // 2, height // 2, height - height // 2)
            x = F.pad(x, sides, mode="reflect")
        elif height or width:
            x = F.pad(x, (width, 0, height, 0))
        return self.cbam(self.deep(x))


class ByTheSize(ToMultiples):
    """Pools larger inputs by other windows, without a module."""

    def forward(self, x: Tensor) -> Tensor:
        k = 3 if x.shape[2] > 60 else 1
        return self.cbam(self.deep(F.avg_pool2d(x, k, 1, 0 if self.how == "in front" else k // 2)))


@pytest.mark.parametrize("first", [(64, 96), (61, 90)], ids=str)
@pytest.mark.parametrize("how", ["both sides", "in front"])
@pytest.mark.parametrize("kind", [ToMultiples, ByTheSize])
def test_other_sizes_that_do_something_else(
    kind: type[ToMultiples], how: str, first: tuple[int, int]
) -> None:
    """The map's size gives it away no more than its gates: the operations do."""
    model = kind(how).eval()
    for size in (first, (61, 90), (64, 96), (59, 93), (59, 93)):
        with torch.no_grad():
            (layer,) = capture(model, photos(1, *size)).values()
            (fresh,) = capture(copy.deepcopy(model), photos(1, *size)).values()
        assert layer.cells == fresh.cells


def in_tiles(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
    """Four tiles as a batch of four pictures, and beside each other again."""
    x = m["a"](x)
    b, c, h, w = x.shape
    tiles = x.view(b, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5)
    tiles = m["b"](tiles.reshape(b * 4, c, h // 2, w // 2))
    tiles = tiles.view(b, 2, 2, c, h // 2, w // 2).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(b, c, h, w)


@pytest.mark.parametrize("kind", [AuthorsCbam, lambda channels: CbamModule(channels, rd_ratio=0.5)])
def test_tiles_laid_out_again_are_one_map(kind: Callable[[int], nn.Module]) -> None:
    model = Net(in_tiles, a=down(1), b=conv()).eval()
    model.cbam = kind(C).eval()
    x = photos(2, HEIGHT, WIDTH)
    with torch.no_grad():
        for _ in range(2):
            attention = capture(model, x)
            (layer,) = attention.values()
            assert attention.unsupported == ()
            assert layer.channel.shape == (2, C)
            assert layer.spatial.shape == (2, HEIGHT // 2, WIDTH // 2)
            assert layer.cells == Cells(2, 2, 1, 1, exact=False, within=None)
            before = in_tiles(model.parts, x)
            gated = before * layer.channel[..., None, None] * layer.spatial[:, None]
            assert torch.allclose(gated, model.cbam(before), atol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, 3, -1, 4])
def test_turned_and_back(quarters: int) -> None:
    def path(m: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        turned = m["b"](torch.rot90(m["a"](x), quarters, (2, 3)))
        return torch.rot90(turned, -quarters, (2, 3))

    (cells,) = assert_in_place(Net(path, a=down(2), b=conv()))
    assert cells == Cells(4, 4, 0.5, 0.5, exact=True)


def test_turned_by_half() -> None:
    (cells,) = assert_in_place(Net(lambda m, x: torch.rot90(m["a"](x), 2, (2, 3)), a=down(2)))
    assert (cells.stride_y, cells.stride_x, cells.exact) == (-4, -4, True)
