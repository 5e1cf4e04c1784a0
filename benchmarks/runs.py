"""What logging the gates costs a training: a step, and the log of a few probes once.

    .venv/bin/python -m benchmarks runs

ResNet-50 with CBAM at 224 pixels and a small ResNet at 96, a step of 8 images (forward, backward,
SGD) against one call of `cbam_viz.runs.log_gates` with 4 probes. A training logs once in an epoch,
so its share of the whole is the ratio over the steps of an epoch.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks._harness import compare, machine, report
from cbam_viz import create_model
from cbam_viz.runs import log_gates

STEP, LOG, FORWARD = "a training step, 8 images", "log_gates, 4 probes", "a forward of these"
TARGETS = {LOG: 0.5}


def main(rounds: int = 5) -> None:
    """Print one table for each network."""
    print(f"Machine: {machine()}")
    small = {"channels": (16, 32, 64, 128)}
    measure("resnet50, 224 pixels", "resnet50", 224, rounds, {})
    measure("resnet10t, 96 pixels", "resnet10t", 96, rounds, small)


def measure(title: str, name: str, side: int, rounds: int, arguments: dict[str, Any]) -> None:
    """A step, the log and the bare forward of its probes, in turn."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=10, zero_init_last=False, **arguments).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    images, labels = torch.randn(8, 3, side, side), torch.arange(8)
    probes = torch.randn(4, 3, side, side)

    def step() -> None:
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(probes)
        model.train()

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        candidates = {STEP: step, LOG: lambda: log_gates(model, 0, probes, run), FORWARD: forward}
        report(title, compare(candidates, rounds=rounds, warmup=1), targets=TARGETS)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
