"""Parameters and FLOPs against the paper's table and against counts by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import cbam_viz.models  # noqa: F401
from cbam_viz import ModelError, NoAttentionError
from cbam_viz.costs import cost
from cbam_viz.models import create_model, insert_cbam

import timm  # isort: skip  (after cbam_viz.models, which makes its import work anywhere)
from timm.layers.cbam import CbamModule  # isort: skip


@pytest.mark.parametrize(
    ("name", "with_cbam", "plain"),
    [
        ("resnet18", "11.78", "11.69"),
        ("resnet34", "21.96", "21.80"),
        ("resnet50", "28.09", "25.56"),
        ("resnet101", "49.33", "44.55"),
        ("resnext50_32x4d", "27.56", "25.03"),
    ],
)
def test_parameters_of_the_papers_table(name: str, with_cbam: str, plain: str) -> None:
    """CBAM (ECCV 2018), ImageNet classification, column `Param.` in millions."""
    with torch.device("meta"):
        model = create_model(name, attention=partial(CbamModule, mlp_bias=True))
    counted = cost(model)
    assert f"{counted.parameters / 1e6:.2f}" == with_cbam
    assert f"{counted.plain_parameters / 1e6:.2f}" == plain
    with torch.device("meta"):
        twin = create_model(name, attention=None)
    assert counted.plain_parameters == sum(weight.numel() for weight in twin.parameters())


def test_one_layer_by_hand() -> None:
    model = create_model("resnet18")
    first = cost(model, (64, 96)).layers[0]
    assert first.name == "layer1.0.se"
    # MLP 64 -> 4 -> 64 without biases; 7 x 7 convolution of 2 maps; BatchNorm's weight and bias
    assert first.parameters == 2 * 64 * 4 + 7 * 7 * 2 + 2
    # the MLP runs on both poolings; the convolution at a quarter of 64 x 96
    assert first.flops == 2 * (2 * 2 * 64 * 4) + 2 * 7 * 7 * 2 * 16 * 24


def test_flops_without_cbam_are_those_of_the_plain_network() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    counted = cost(create_model("resnet18"), (64, 64))
    plain = timm.create_model("resnet18").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        plain(torch.zeros(1, 3, 64, 64))
    assert counted.plain_flops == counter.get_total_flops()
    assert counted.flops == counted.plain_flops + sum(layer.flops for layer in counted.layers)
    assert counted.input_size == (64, 64)


def test_the_network_is_neither_run_nor_changed() -> None:
    model = create_model("resnet18").train()
    calls = []
    model.conv1.register_forward_hook(lambda *args: calls.append(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert cost(model, (64, 64)).cbam_flops > 0
    assert not calls
    assert model.training
    assert len(model.conv1._forward_hooks) == 1
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all(weight.device.type == "cpu" for weight in model.parameters())


def test_inserted_and_wrapped_networks() -> None:
    model = insert_cbam(timm.create_model("convnext_atto"), input_size=(64, 64))
    names = [f"stages.{stage}.cbam" for stage in range(4)]
    assert [layer.name for layer in cost(model, (64, 64)).layers] == names
    wrapped = nn.DataParallel(create_model("resnet18"))
    assert len(cost(wrapped, (64, 64)).layers) == 8


class MyCBAM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(4, 4, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


def test_other_peoples_layers_by_class_name_or_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), MyCBAM(), MyCBAM())
    assert [layer.name for layer in cost(model, (8, 8)).layers] == ["1", "2"]
    assert [layer.parameters for layer in cost(model, (8, 8), layers=["2"]).layers] == [16]
    assert [layer.flops for layer in cost(model, (8, 8), layers=["2"]).layers] == [32]


class Gate(nn.Sequential):
    """Makes a channel gate, or a map; the block that owns it multiplies."""


class Block(nn.Module):
    """CBAM written into a residual block, whose own convolution is no part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.ca = Gate(nn.Conv2d(4, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 4, 1, bias=False))
        self.sa = Gate(nn.Conv2d(2, 1, 3, padding=1), nn.BatchNorm2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        y = y * (self.ca(y.mean((2, 3), keepdim=True)) + self.ca(y.amax((2, 3), True))).sigmoid()
        maps = torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)
        return x + y * self.sa(maps).sigmoid()


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel, AveragedModel])
def test_cbam_inside_blocks_is_looked_for(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Block(), Block()).eval()
    counted = cost(wrap(model), (6, 8))
    assert [layer.name for layer in counted.layers] == ["1", "2"]
    # MLP 4 -> 2 -> 4, twice; 3 x 3 convolution of 2 maps with its bias; BatchNorm
    assert [layer.parameters for layer in counted.layers] == [2 * 4 * 2 + (18 + 1) + 2] * 2
    assert [layer.flops for layer in counted.layers] == [2 * 2 * 16 + 2 * 18 * 6 * 8] * 2
    assert counted.plain_parameters == (3 * 4 + 4) + 2 * (9 * 16 + 4)


def test_refusals() -> None:
    with pytest.raises(NoAttentionError, match="no CBAM layer whose cost"):
        cost(timm.create_model("resnet18"))
    with pytest.raises(ModelError, match="cannot be counted on an input of 64 x 64"):
        cost(nn.Sequential(nn.Linear(3, 3), MyCBAM()), (64, 64))
    with pytest.raises(ModelError, match="cannot be counted on an input of 64 x 64"):
        cost(nn.Sequential(nn.Linear(3, 3), nn.Conv2d(4, 4, 1)), (64, 64))
