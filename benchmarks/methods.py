"""Insertion and deletion against the bare forwards that they take; Grad-CAM against one forward.

    .venv/bin/python -m benchmarks methods

Grad-CAM is made as the app makes it, with the gates of the photo at hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks._harness import compare, machine, report
from cbam_viz.gates import capture
from cbam_viz.methods import method_map
from cbam_viz.metrics import blurred, removal
from cbam_viz.models import create_model

BATCH, STEPS = 16, 24
"""Two times 24 pictures are three full batches."""
SLOWEST = 1 / 0.8
"""At least 0.8 of the bare forwards' throughput."""


def main(rounds: int = 7) -> None:
    """Print both tables, for ResNet-18 with CBAM at 224 x 224."""
    print(f"Machine: {machine()}")
    model = create_model("resnet18", zero_init_last=False).eval()
    rng = np.random.default_rng(0)
    picture, values = rng.normal(size=(3, 224, 224)).astype(np.float32), rng.random((224, 224))
    pictures = np.stack([picture] * BATCH)

    def score(batch: Any) -> Any:
        with torch.inference_mode():
            return model(torch.from_numpy(batch)).softmax(1)[:, 0].numpy()

    def bare() -> None:
        for _ in range(2 * STEPS // BATCH):
            score(pictures)

    def measured() -> None:
        removal(
            score,
            picture,
            values,
            blurred(picture),
            replacement="blur",
            score_name="probability",
            steps=STEPS,
            batch=BATCH,
        )

    name = "insertion and deletion"
    timings = compare({"bare forwards": bare, name: measured}, rounds=rounds)
    report(f"{2 * STEPS} pictures in batches of {BATCH}", timings, targets={name: SLOWEST})
    x = torch.from_numpy(picture)[None]
    attention = capture(model, x)

    def forward() -> None:
        with torch.inference_mode():
            model(x)

    def gradcam() -> None:
        method_map(model, x, "layer4.1.se", "gradcam", attention=attention)

    report("One photo", compare({"bare forward": forward, "Grad-CAM": gradcam}, rounds=3 * rounds))


if __name__ == "__main__":
    main()
