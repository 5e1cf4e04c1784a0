"""What a capture costs over the bare forward, at 5, 8, 16 and 33 layers of attention.

    .venv/bin/python -m benchmarks capture

224 x 224 pixels, one image, inference mode. timm's layers are hooked; the others have the structure
of the CBAM authors' code (functional sigmoids, expanded gates, no module that gives a gate), so
their gates are recomputed from hooked modules and checked at a few positions. The last row is what
the first capture on a network costs, which watches every operation outside of timm's layers.
"""

from __future__ import annotations

import copy
import sys

import timm
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._harness import compare, machine, report
from cbam_viz import capture, create_model, insert_cbam
from cbam_viz.gates.plan.table import forget

NETWORKS = {"resnet18": 8, "resnet50": 16, "resnet101": 33}
TIMM, AUTHORS, FIRST = "timm's layers", "authors' structure", "first capture"
TARGETS = {TIMM: {TIMM: 1.01, FIRST: 1.3}, AUTHORS: {AUTHORS: 1.03, FIRST: 2.0}}


class ChannelGate(nn.Module):
    """Channel gate as in Jongchan/attention-module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 16
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        size = (x.size(2), x.size(3))
        total = self.mlp(F.avg_pool2d(x, size, stride=size))
        total = total + self.mlp(F.max_pool2d(x, size, stride=size))
        return x * torch.sigmoid(total).unsqueeze(2).unsqueeze(3).expand_as(x)


class SpatialGate(nn.Module):
    """Spatial gate as there: maximum and mean, a 7 x 7 convolution, BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)
        return x * torch.sigmoid(self.spatial(maps))


def authors(name: str) -> nn.Module:
    """The network with layers of the authors' structure."""
    model = create_model(name, zero_init_last=False)
    for module in model.modules():
        layer = getattr(module, "se", None)
        if isinstance(layer, CbamModule):
            channels = layer.channel.fc1.in_channels
            module.se = nn.Sequential(ChannelGate(channels), SpatialGate())
    return model.eval()


def main(rounds: int = 25) -> None:
    """Print one table for each network."""
    print(f"Machine: {machine()}")
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for name, layers in NETWORKS.items():
        for label, model in (
            (TIMM, create_model(name, zero_init_last=False)),
            (AUTHORS, authors(name)),
        ):
            measure(f"{name}, {layers} layers, {label}", label, model, image, rounds)
    small = insert_cbam(timm.create_model("efficientnet_lite0")).eval()
    measure("efficientnet_lite0, CBAM behind its 5 stages", TIMM, small, image, rounds)


def measure(title: str, label: str, model: nn.Module, image: Tensor, rounds: int) -> None:
    """Bare forward against capture: with what was learnt before, and for the first time."""

    def bare() -> None:
        with torch.inference_mode():
            model(image)

    def hooked() -> None:
        with torch.inference_mode():
            capture(model, image)

    fresh = copy.deepcopy(model)  # forgetting would make each capture above a second one

    def watched() -> None:
        forget(fresh)
        with torch.inference_mode():
            capture(fresh, image)

    timings = compare({"bare forward": bare, label: hooked, FIRST: watched}, rounds=rounds)
    report(title, timings, targets=TARGETS[label])


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
