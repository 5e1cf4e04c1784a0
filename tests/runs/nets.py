"""A network whose gates are set by hand, and checkpoints of one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import cbam_viz

SHAPE = {"channels": [4, 4, 8, 8], "layers": [1, 1, 1, 1], "zero_init_last": False}
LAYERS = ("layer1.0.se", "layer2.0.se", "layer3.0.se", "layer4.0.se")


def logit(value: float) -> float:
    """What a sigmoid makes `value` of."""
    return math.log(value / (1 - value))


def set_gates(model: nn.Module, values: dict[str, tuple[float, float]]) -> None:
    """Let every channel weight and every cell of the map of these layers be two numbers."""
    for name, (channel, spatial) in values.items():
        layer: Any = model.get_submodule(name)
        with torch.no_grad():
            layer.channel.fc2.weight.zero_()
            layer.channel.fc2.bias.fill_(logit(channel) / 2)  # of two branches
            layer.spatial.conv.bn.weight.zero_()
            layer.spatial.conv.bn.bias.fill_(logit(spatial))


def network(seed: int = 0) -> nn.Module:
    """A small ResNet with CBAM whose gates differ within photos and between them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = cbam_viz.create_model(
            "resnet10t", num_classes=3, attention_args={"mlp_bias": True}, **SHAPE
        )
        for name, weight in model.named_parameters():
            if ".se." in name:
                nn.init.normal_(weight, std=0.5)
            if "fc1" in name:
                weight.data.abs_()
    return model


def write_checkpoint(
    path: Path,
    values: dict[str, tuple[float, float]] | None = None,
    *,
    seed: int = 0,
    size: int = 64,
) -> Path:
    """A described file of that network, with gates set by hand."""
    model = network(seed)
    set_gates(model, values or {})
    about = {
        "schema": 1,
        "architecture": "resnet10t",
        "attention": "cbam",
        "arguments": SHAPE,
        "num_classes": 3,
        "pretrained_cfg": {"input_size": [3, size, size], "fixed_input_size": True},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), str(path), {"cbam_viz": json.dumps(about)})
    return path


class Gated(nn.Module):
    """A convolution, and a CBAM of two lines whose gates are a number and a ramp over columns."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 1, 1)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(4, 2)
        self.weight, self.ramp = 0.5, (0.5, 0.5)
        self.calls = 0
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = self.drop(self.bn(self.stem(x)).relu())
        self.last = x.mean((2, 3))
        x = x * (self.weight + 0 * x.mean((2, 3), keepdim=True))
        columns = torch.linspace(*self.ramp, x.shape[3]).expand(len(x), 1, x.shape[2], -1)
        x = x * (columns + 0 * x.mean(1, keepdim=True))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits
