"""What is painted on a map: a mask on the photo, its cells, and what the network multiplies by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cbam_viz
from cbam_viz.ablation import Painted, on_cells
from cbam_viz.errors import CaptureError
from cbam_viz.images import InputSpec, read_photo


class Block(nn.Module):
    """One map on features of half the input's size; logits are sums over places."""

    num_classes = 4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.gate = nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return (y * torch.sigmoid(self.gate(y))).sum((2, 3))


@pytest.fixture(scope="module")
def network():
    return cbam_viz.wrap_model(
        Block().eval(), InputSpec((16, 24), (0, 0, 0), (1, 1, 1), fixed_size=True)
    )


@pytest.fixture(scope="module")
def photo():
    return read_photo(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))


@torch.no_grad()
def test_the_product_has_what_is_painted() -> None:
    """The block worked out from its weights, with one number, and with a number for each cell."""
    net, x = Block().eval(), torch.randn(2, 3, 16, 24)
    (layer,) = cbam_viz.capture(net, x)
    y = torch.einsum("ocij,bcyixj->boyx", net.stem.weight, x.view(2, 3, 8, 2, 12, 2))
    y = y + net.stem.bias[:, None, None]
    own = torch.sigmoid((y * net.gate.weight).sum(1) + net.gate.bias)
    mask, each = torch.zeros(8, 12), torch.rand(8, 12)
    mask[2:5, 3:9], mask[7, 0] = 1, 0.25
    for value in (0.9, each):
        gate = own * (1 - mask) + value * mask
        with cbam_viz.ablate(net, {layer: {"spatial": Painted(mask, value)}}) as block:
            found = block(x)
        torch.testing.assert_close(found, (y * gate[:, None]).sum((2, 3)), atol=1e-4, rtol=1e-5)
        acted = block.acted[layer, "spatial"]
        torch.testing.assert_close(acted, gate, atol=1e-6, rtol=0)
        assert torch.equal(acted[:, mask == 1], (each if value is each else 0 * each + 0.9)[
            mask == 1].expand(2, -1))  # fmt: skip


@torch.no_grad()
def test_nothing_painted_changes_no_bit() -> None:
    net, x = Block().eval(), torch.randn(1, 3, 16, 24)
    (layer,) = cbam_viz.capture(net, x)
    with cbam_viz.ablate(net, {layer: {"spatial": Painted(np.zeros((8, 12), bool), 0.3)}}):
        assert torch.equal(net(x), net(x))
        painted = net(x)
    assert torch.equal(painted, net(x))


def test_a_mask_on_the_photo_is_shares_of_cells(network, photo) -> None:
    """A cell is 4 photo pixels wide: the input is half as large, and a cell 2 of its pixels."""
    analysis = cbam_viz.analyse(network, photo, "whole")
    assert analysis.geometry.input_size == (16, 24)
    (layer,) = analysis.attention
    mask = np.zeros((32, 48))
    mask[8:12, 20:22], mask[30, 47] = 1, 0.5
    expected = np.zeros((8, 12))
    expected[2, 5], expected[7, 11] = 0.5, 0.5 / 16
    np.testing.assert_allclose(on_cells(analysis, layer, mask), expected, atol=1e-6)
    np.testing.assert_allclose(on_cells(analysis, layer, np.ones((32, 48), bool)), 1)


def test_it_is_the_rectangle_that_pictures_show_in_a_crop_and_in_a_border(photo) -> None:
    """By a fine raster of the map drawn with hard edges, which knows nothing of edges."""
    from cbam_viz.render import place

    for size, view in (((16, 16), "crop"), ((24, 24), "whole")):
        spec = InputSpec(size, (0, 0, 0), (1, 1, 1), crop_pct=0.9, fixed_size=True)
        analysis = cbam_viz.analyse(cbam_viz.wrap_model(Block().eval(), spec), photo, view)
        (name,) = analysis.attention
        layer = analysis.attention[name]
        mask = np.zeros((32, 48))
        mask[5:17, 14:30] = 1
        rows, columns = layer.spatial.shape[1:]
        number = np.arange(rows * columns, dtype=float).reshape(rows, columns)
        fine = place(number, layer.cells, analysis.geometry, (32 * 20, 48 * 20), method="nearest")
        large = mask.repeat(20, 0).repeat(20, 1)
        found = on_cells(analysis, name, mask).numpy()
        for cell in range(rows * columns):
            here = fine.seen & (fine.values == cell)
            share = large[here].mean() if here.any() else 0
            assert found.flat[cell] == pytest.approx(share, abs=0.02), (view, cell)
        assert 0 < found.sum() < found.size


BAD = {
    "of another shape": (np.zeros((8, 8)), 0.5, "painted mask is 8 × 8, and this gate has 8 × 12"),
    "values of another shape": (np.zeros((8, 12)), np.ones((3, 3)), "painted values are 3 × 3"),
    "above one": (np.full((8, 12), 2.0), 0.5, "between 0, where nothing is painted, and 1"),
    "not a number": (np.full((8, 12), np.nan), 0.5, "between 0, where nothing is painted, and 1"),
    "painted with nothing": (np.ones((8, 12)), np.nan, "must be finite"),
    "words": ("cat", 0.5, "no numbers"),
}


@pytest.mark.parametrize("what", BAD)
@torch.no_grad()
def test_a_mask_that_is_none_is_one_sentence(what: str) -> None:
    mask, value, text = BAD[what]
    net, x = Block().eval(), torch.randn(1, 3, 16, 24)
    with (
        pytest.raises(CaptureError, match=text) as told,
        cbam_viz.ablate(net, {"*": {"spatial": Painted(mask, value)}}),
    ):
        net(x)
    assert "\n" not in str(told.value)
    assert net(x).shape == (1, 4)


@pytest.mark.parametrize(
    ("layer", "mask", "text"),
    [
        (None, np.zeros((48, 32)), r"The mask is 48 × 32, and the photo 32 × 48 \("),
        (None, 1.0, "The mask is one number"),
        (None, np.full((32, 48), np.nan), "0 where nothing is painted"),
        (None, 255 * np.ones((32, 48)), "0 where nothing is painted"),
        (None, [["a"]], "array of numbers"),
        ("layer9", np.zeros((32, 48)), "'layer9' is not there. Layers with one: "),
    ],
)  # fmt: skip
def test_a_mask_that_is_not_on_the_photo_is_one_sentence(network, photo, layer, mask, text) -> None:
    analysis = cbam_viz.analyse(network, photo, "whole")
    with pytest.raises(CaptureError, match=text):
        on_cells(analysis, layer or next(iter(analysis.attention)), mask)
