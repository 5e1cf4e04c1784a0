"""`cbam-viz export` of a folder against the bare forward of the same photos.

The baseline only runs the network on prepared batches of eight. The export reads and prepares the
photos, captures all gates, and writes files. Both run in this process with one thread.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks._harness import Action, compare, machine, report
from cbam_viz.batch.machine import keep_memory
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.drawing import Style
from cbam_viz.cli.jobs import Job, Target
from cbam_viz.cli.workers import run
from cbam_viz.images import samples
from cbam_viz.models import LoadedModel, load_model

PHOTOS = 16
BATCH = 8
WANTED = {
    "gates (npz) and statistics": ("npz", "statistics"),
    "gates (csv)": ("csv",),
    "overlays of all layers (jpg)": ("jpg",),
    "overlays of all layers (png)": ("png",),
}


def main() -> None:
    """Print one table for each network."""
    torch.set_num_threads(1)
    keep_memory()
    print(machine())
    for name in ("resnet18", "resnet50"):
        loaded = load_model(None, architecture=name)
        with tempfile.TemporaryDirectory() as folder:
            measure(loaded, Path(folder), f"{name} with CBAM, {PHOTOS} photos")


def measure(loaded: LoadedModel, folder: Path, title: str) -> None:
    """Time each kind of export and the bare forward, interleaved."""
    batch = torch.rand(BATCH, 3, *loaded.spec.size)
    batches = targets(folder)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(PHOTOS // BATCH):
                loaded.model(batch)

    def export(formats: tuple[str, ...]) -> None:
        style = Style(scale="absolute", colormap="viridis", opacity=0.55)
        job = Job(ModelChoice(), "crop", ("all",), formats, style, force=True)
        for outcomes in run(job, batches, 1, loaded):
            assert not any(outcome.error for outcome in outcomes)

    candidates: dict[str, Action] = {"bare forward": bare}
    candidates |= {name: partial(export, formats) for name, formats in WANTED.items()}
    report(title, compare(candidates, rounds=5, warmup=1))


def targets(folder: Path) -> list[list[Target]]:
    """Copies of the sample photos, in batches."""
    sources = [sample.path for sample in samples()]
    photos = []
    for number in range(PHOTOS):
        source = sources[number % len(sources)]
        copy = folder / f"{number}{source.suffix}"
        shutil.copy(source, copy)
        photos.append(Target(copy, folder / "out" / copy.stem))
    return [photos[start : start + BATCH] for start in range(0, PHOTOS, BATCH)]


if __name__ == "__main__":
    main()
