"""Give a trained checkpoint its public metadata: `python -m training.publish IN OUT --set FILE`.

Weights are copied bit by bit, or rounded to half the size with --half. FILE is a JSON object whose
entries replace those of the metadata; the accuracy is what `training.measure.evaluate` measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cbam_viz.errors import CbamVizError
from cbam_viz.models.save import write_described
from training.errors import TrainingError
from training.run.checkpoint import read_metadata


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Filters and matrices as float16; biases and statistics, which are few, as they are."""
    return {
        key: value.half() if value.ndim > 1 and value.dtype == torch.float32 else value
        for key, value in tensors.items()
    }


def publish(
    source: Path,
    target: Path,
    changes: dict[str, Any],
    numbers: dict[str, Any],
    half: bool = False,
) -> None:
    """Write `target` with the weights of `source` and its metadata, changed.

    Raises:
        TrainingError: `source` is no checkpoint, or `changes` would make its weights unloadable.
    """
    metadata = read_metadata(source)
    fixed = {"schema", "architecture", "attention", "arguments", "inserted_cbam", "num_classes"}
    if touched := sorted(fixed & changes.keys()):
        raise TrainingError(f"{', '.join(touched)} belong to the weights and cannot be changed.")
    if len(changes.get("classes", metadata["classes"])) != metadata["num_classes"]:
        raise TrainingError(f"There must be {metadata['num_classes']} class names.")
    metadata.update(changes)
    if numbers:
        measured = numbers["accuracy"]
        metadata["accuracy"] = {
            "top1": round(measured["top1"], 4),
            "split": changes.get("split", "validation"),
            "images": measured["images"],
        }
    metadata.pop("split", None)
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = load_file(str(source))
    write_described(halved(tensors) if half else tensors, metadata, target)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--set", type=Path, help="JSON object of metadata entries")
    parser.add_argument("--numbers", type=Path, help="the .json of training.measure.evaluate")
    parser.add_argument("--half", action="store_true", help="filters and matrices as float16")
    options = parser.parse_args()
    try:
        read = [
            json.loads(file.read_text(encoding="utf-8")) if file else {}
            for file in (options.set, options.numbers)
        ]
        publish(options.source, options.target, read[0], read[1], options.half)
    except (CbamVizError, OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
