"""How well a 1000-class network holds its accuracy, and where its maps lie.

python -m training.measure.imagenet CHECKPOINT DATA --weights FILE --out FOLDER

Compares a network that `training.teach.insert` made with the one it was made from. A photo counts
where the original path in `DATA/manifest.csv` names its ImageNet class (n01234567).
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

import torch
from timm.data import ImageNetInfo
from torch import nn
from tqdm import tqdm

from cbam_viz.errors import CbamVizError
from training.data.folder import Listing, list_split
from training.data.teacher import load_teacher
from training.errors import TrainingError
from training.measure.evaluate import (
    Loaded,
    load_checkpoint,
    measure_gates,
    measure_localisation,
    network_input,
    read_boxes,
    to_markdown,
)
from training.run.losses import divergence

CLASS = re.compile(r"n\d{8}")


def imagenet_labels(data: Path, split: str) -> dict[str, int]:
    """ImageNet class indices (0..999) by `CLASS/file`, for the photos that name one.

    Raises:
        TrainingError: the data has no manifest.
    """
    info = ImageNetInfo()
    index = {info.index_to_label_name(i): i for i in range(1000)}
    found: dict[str, int] = {}
    try:
        with (data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                named = CLASS.search(row["original"])
                if row["split"] == split and named and named.group() in index:
                    found[f"{row['class']}/{row['file']}"] = index[named.group()]
    except (OSError, KeyError) as error:
        raise TrainingError(f"{data} has no usable manifest.csv: {error}") from error
    return found


def source_of(file: Path) -> str:
    """What a file's name begins with, as in `imagenette_0123.jpg`."""
    return file.name.split("_")[0]


@torch.inference_mode()
def compare(
    loaded: Loaded, original: nn.Module, listing: Listing, labels: dict[str, int]
) -> dict[str, Any]:
    """Top-1 of both networks by source of the photos, their agreement and mean KL divergence."""
    hits: dict[str, list[tuple[bool, bool]]] = {}
    agree, kl = 0, 0.0
    pairs = list(zip(listing.files, listing.keys(), strict=True))
    for start in tqdm(range(0, len(pairs), 44), desc="compare", disable=None):
        part = pairs[start : start + 44]
        images = torch.cat([network_input(loaded, file)[0] for file, _ in part])
        ours, theirs = loaded.network(images), original(images)
        agree += int((ours.argmax(1) == theirs.argmax(1)).sum())
        kl += float(divergence(ours, theirs, 1.0)) * len(part)
        for (file, key), one, other in zip(
            part, ours.argmax(1).tolist(), theirs.argmax(1).tolist(), strict=True
        ):
            if key in labels:
                row = (one == labels[key], other == labels[key])
                hits.setdefault(source_of(file), []).append(row)
    return {
        "images": len(pairs),
        "agreement": agree / len(pairs),
        "divergence": kl / len(pairs),
        "top1": {
            source: {
                "images": len(rows),
                "with_cbam": sum(row[0] for row in rows) / len(rows),
                "original": sum(row[1] for row in rows) / len(rows),
            }
            for source, rows in sorted(hits.items())
        },
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="of the original network")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        loaded = load_checkpoint(options.checkpoint)
        original = load_teacher(loaded.metadata["architecture"], options.weights)
        listing = list_split(options.data / "val")
        numbers = {
            "checkpoint": options.checkpoint.name,
            "megabytes": round(options.checkpoint.stat().st_size / 1e6, 2),
            "parameters": sum(p.numel() for p in loaded.network.parameters()),
            "accuracy": None,
            "comparison": compare(loaded, original, listing, imagenet_labels(options.data, "val")),
            "localisation": measure_localisation(loaded, listing, read_boxes(options.data)),
            "gates": measure_gates(loaded, listing),
        }
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.checkpoint.stem
    (options.out / f"{stem}.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    text = to_markdown(numbers) + json.dumps(numbers["comparison"], indent=1) + "\n"
    (options.out / f"{stem}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
