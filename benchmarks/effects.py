"""What it costs to replace each gate of ResNet-50 once, channel and spatial apart: 32 forwards.

    .venv/bin/python -m benchmarks effects

224 x 224 pixels. Times are ratios to the bare forward of the same photos in the same round. The
network is known by then, as it is from the second batch of photos on; the last row is what one
replacement costs in a block of its own, as the app asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks._harness import compare, machine, report
from cbam_viz import create_model
from cbam_viz.ablation import ablate
from cbam_viz.ablation.forwards import Forwards
from cbam_viz.ablation.replacements import Constant

BARE, ALL, WHOLE, ONE = "bare forward", "32 gates, one at a time", "the same, as a whole", "a block"
TARGETS = {ALL: 20.0, ONE: 1.25}


def main(rounds: int = 5, batch: int = 2) -> None:
    """Print one table for each network."""
    from benchmarks.capture import authors  # after cbam_viz, which sees to torchvision

    print(f"Machine: {machine()}")
    photos = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    networks: dict[str, Callable[[], nn.Module]] = {
        "timm's layers": lambda: create_model("resnet50", zero_init_last=False).eval(),
        "authors' structure": lambda: authors("resnet50"),
    }
    for label, make in networks.items():
        measure(f"resnet50, {label}, {batch} photos", make(), photos, rounds)


def measure(title: str, model: nn.Module, photos: Tensor, rounds: int) -> None:
    """Bare forward against all replacements, with and without what is left out."""

    def bare() -> None:
        with torch.no_grad():
            model(photos)

    def each(reuse: bool) -> None:
        forwards = Forwards(model, photos, reuse=reuse)
        gates = list(forwards.learned.gates)
        assert len(gates) == 32
        forwards.unchanged(gates)
        for gate in gates:
            forwards.replaced({gate: Constant(1.0)})

    def block() -> None:
        with torch.no_grad(), ablate(model, {"layer3": {"spatial": "one"}}):
            model(photos)

    candidates = {
        BARE: bare,
        ALL: lambda: each(True),
        WHOLE: lambda: each(False),
        ONE: block,
    }
    timings = compare(candidates, rounds=rounds, warmup=1)
    report(title, timings, targets=TARGETS)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
