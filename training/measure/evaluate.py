"""The numbers of the model card.

python -m training.measure.evaluate CHECKPOINT DATA --out FOLDER

Accuracy over the validation split, per class and in every view, and, for every CBAM layer and both
signs of its map, how much of it lies on the object boxes of `DATA/boxes.json`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from cbam_viz.attention import Cells
from cbam_viz.errors import CbamVizError
from cbam_viz.gates import capture
from cbam_viz.images import Geometry, InputSpec, prepare, read_photo
from cbam_viz.methods import method_map
from cbam_viz.metrics import (
    above_minimum,
    bootstrap_interval,
    box_mask,
    centre_gaussian,
    energy_inside,
    pointing_hit,
)
from cbam_viz.models import insert_cbam
from cbam_viz.render.placement import place
from cbam_viz.statistics import SATURATED_HIGH, SATURATED_LOW
from training.data.folder import Listing, list_split
from training.errors import TrainingError
from training.measure.views import CHANGES, measure_views, views_table
from training.run.checkpoint import read_metadata
from training.run.model import create_network

SHOWN_SIDE = 224
"""Maps are measured on the photo scaled to this short side."""

Boxes = dict[str, list[list[float]]]


@dataclass(frozen=True)
class Loaded:
    """A network in eval mode with its metadata and its input description."""

    network: nn.Module
    metadata: dict[str, Any]
    spec: InputSpec


def load_checkpoint(path: Path) -> Loaded:
    """Rebuild a network from its metadata by timm alone, and load its weights strictly.

    Raises:
        TrainingError: the file is no checkpoint of this project, or its weights do not fit.
    """
    metadata = read_metadata(path)
    network = create_network(
        metadata["architecture"],
        metadata["attention"],
        metadata["num_classes"],
        metadata["arguments"],
    )
    if metadata["inserted_cbam"]:
        insert_cbam(network, metadata["inserted_cbam"]["at"])
    try:
        network.load_state_dict(load_file(str(path)))
    except RuntimeError as error:
        raise TrainingError(f"The weights in {path} do not fit its metadata: {error}") from error
    spec = InputSpec.from_pretrained_cfg(metadata["pretrained_cfg"])
    return Loaded(network.eval(), metadata, spec)


def network_input(loaded: Loaded, file: Path) -> tuple[Tensor, Geometry]:
    """The network's input (1, 3, H, W) of a file, and where it lies on the photo."""
    made = prepare(read_photo(file), loaded.spec)
    return made.tensor, made.geometry


@torch.inference_mode()
def measure_accuracy(loaded: Loaded, listing: Listing, batch: int = 44) -> dict[str, Any]:
    """Top-1 over all images and per class, and the confusion matrix (true, predicted)."""
    count = len(listing.classes)
    confusion = np.zeros((count, count), int)
    for start in tqdm(range(0, len(listing.files), batch), desc="accuracy", disable=None):
        files = listing.files[start : start + batch]
        images = torch.cat([network_input(loaded, file)[0] for file in files])
        predicted = loaded.network(images).argmax(1).tolist()
        for label, guess in zip(listing.labels[start : start + batch], predicted, strict=True):
            confusion[label, guess] += 1
    right = confusion.diagonal()
    return {
        "images": int(confusion.sum()),
        "top1": float(right.sum() / confusion.sum()),
        "mean_class": float((right / confusion.sum(1)).mean()),
        "per_class": {
            name: float(right[i] / confusion[i].sum()) for i, name in enumerate(listing.classes)
        },
        "confusion": confusion.tolist(),
    }


@dataclass(frozen=True)
class Candidate:
    """A map to be measured: cells (h, w) with their place, or pixels (no place)."""

    values: NDArray[np.float32]
    cells: Cells | None


def _candidates(loaded: Loaded, images: Tensor, label: int) -> dict[str, Candidate]:
    """All maps of one image (1, 3, H, W): both signs of each gate, and Grad-CAM."""
    found: dict[str, Candidate] = {}
    target: int | None = label
    if loaded.metadata["attention"] or loaded.metadata["inserted_cbam"]:
        with torch.inference_mode():
            attention = capture(loaded.network, images)
        for name, layer in attention.items():
            if layer.spatial is None:
                continue
            gate = layer.spatial[0].numpy()
            found[f"{name} map"] = Candidate(gate, layer.cells)
            found[f"{name} 1 - map"] = Candidate(1 - gate, layer.cells)
        if loaded.metadata["inserted_cbam"]:  # of other classes than the folder's
            target = None
    stage = "layer4" if hasattr(loaded.network, "layer4") else "bn2"
    cam = method_map(loaded.network, images, stage, "gradcam", target)
    found[f"Grad-CAM ({stage})"] = Candidate(cam.values, cam.cells)
    return found


def _measure(values: NDArray[np.floating[Any]], mask: NDArray[np.bool_]) -> dict[str, float]:
    return {
        "energy": energy_inside(values, mask),
        "energy_above_minimum": energy_inside(above_minimum(values), mask),
        "pointing": pointing_hit(values, mask),
    }


def measure_localisation(loaded: Loaded, listing: Listing, boxes: Boxes) -> dict[str, Any]:
    """Energy inside the boxes and pointing hits of every map.

    Means over all images with boxes, those apart whose boxes the network's input cuts off whole.
    """
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    chosen = [
        (file, label, boxes[key])
        for file, label, key in zip(listing.files, listing.labels, listing.keys(), strict=True)
        if key in boxes
    ]
    for file, label, relative in tqdm(chosen, desc="boxes", disable=None):
        images, geometry = network_input(loaded, file)
        height, width = geometry.photo_size
        scale = SHOWN_SIDE / min(height, width)
        size = (round(height * scale), round(width * scale))
        pixels = np.asarray(relative, np.float64) * np.array([size[1], size[0]] * 2)
        mask = box_mask(pixels, size)
        placed = {
            name: place(candidate.values, candidate.cells, geometry, size)
            for name, candidate in _candidates(loaded, images, label).items()
            if candidate.cells is not None
        }
        seen = next(iter(placed.values())).seen
        if not mask[seen].any():
            continue
        for name, one in placed.items():
            rows[name].append(_measure(one.values[seen], mask[seen]))
        gaussian = centre_gaussian(size)
        rows["uniform"].append(_measure(np.ones(int(seen.sum()), np.float32), mask[seen]))
        rows["centre Gaussian"].append(_measure(gaussian[seen], mask[seen]))
    return _summary(rows)


def _summary(rows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means over images, and 95 % intervals of the differences from the uniform map."""
    uniform = {key: np.array([row[key] for row in rows["uniform"]]) for key in rows["uniform"][0]}
    result: dict[str, Any] = {"images": len(rows["uniform"]), "maps": {}}
    for name, values in rows.items():
        columns = {key: np.array([row[key] for row in values]) for key in uniform}
        entry: dict[str, Any] = {key: float(column.mean()) for key, column in columns.items()}
        for key, column in columns.items():
            entry[f"{key}_minus_uniform_95"] = bootstrap_interval(column - uniform[key])
        result["maps"][name] = entry
    return result


@torch.inference_mode()
def measure_gates(loaded: Loaded, listing: Listing, limit: int = 230) -> dict[str, Any]:
    """How far each layer's gates vary and how many are saturated, over evenly spaced images.

    `within` is the mean over images of the standard deviation over cells (or channels), `across`
    the mean over channels of the standard deviation over images.
    """
    if not (loaded.metadata["attention"] or loaded.metadata["inserted_cbam"]):
        return {}
    step = max(1, len(listing.files) // limit)
    images = torch.cat([network_input(loaded, file)[0] for file in listing.files[::step]])
    parts = [capture(loaded.network, part) for part in torch.split(images, 46)]
    result: dict[str, Any] = {}
    for name in parts[0]:
        channel = torch.cat([c for part in parts if (c := part[name].channel) is not None])
        spatial = torch.cat([s for part in parts if (s := part[name].spatial) is not None])
        result[name] = {
            "channels": channel.shape[1],
            "cells": list(spatial.shape[1:]),
            "channel_mean": float(channel.mean()),
            "channel_within": float(channel.std(1, correction=0).mean()),
            "channel_across": float(channel.std(0, correction=0).mean()),
            "channel_saturated": _saturated(channel),
            "spatial_mean": float(spatial.mean()),
            "spatial_within": float(spatial.flatten(1).std(1, correction=0).mean()),
            "spatial_saturated": _saturated(spatial),
        }
    return result


def _saturated(gate: Tensor) -> float:
    """Share of gates that the package calls saturated."""
    return float(((gate < SATURATED_LOW) | (gate > SATURATED_HIGH)).float().mean())


def read_boxes(data: Path, split: str = "val") -> Boxes:
    """Boxes of a split by `CLASS/file`; empty if there are none."""
    file = data / "boxes.json"
    stored: Boxes = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    start = f"{split}/"
    return {key[len(start) :]: value for key, value in stored.items() if key.startswith(start)}


def evaluate(path: Path, data: Path) -> dict[str, Any]:
    """All numbers of one checkpoint.

    Raises:
        TrainingError: the data's classes are not the network's.
    """
    loaded = load_checkpoint(path)
    listing = list_split(data / "val")
    if len(listing.classes) != loaded.metadata["num_classes"]:
        raise TrainingError(
            f"{path} knows {loaded.metadata['num_classes']} classes, {data} has "
            f"{len(listing.classes)}: they must be the same."
        )
    boxes = read_boxes(data)
    return {
        "checkpoint": path.name,
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "parameters": sum(p.numel() for p in loaded.network.parameters()),
        "accuracy": measure_accuracy(loaded, listing),
        "localisation": measure_localisation(loaded, listing, boxes) if boxes else {},
        "gates": measure_gates(loaded, listing),
        "views": measure_views(loaded.network, loaded.spec, listing),
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_markdown(numbers: dict[str, Any]) -> str:
    """The numbers of one checkpoint as markdown tables."""
    parts = [
        f"### {numbers['checkpoint']}",
        f"{numbers['parameters']:,} parameters, {numbers['megabytes']} MB.",
    ]
    if accuracy := numbers["accuracy"]:
        share = accuracy["per_class"].items()
        parts += [
            f"Top-1 {accuracy['top1']:.1%} (mean over classes {accuracy['mean_class']:.1%}) of "
            f"{accuracy['images']} images.",
            table(["class", "top-1"], [[name, f"{value:.1%}"] for name, value in share]),
        ]
    if views := numbers.get("views"):
        header = ["view", "top-1", *(f"change of {gate}" for gate in CHANGES)]
        parts.append(table(header, views_table(views)))
    percent: Callable[[float], str] = "{:.1%}".format
    if numbers["localisation"]:
        rows = []
        for name, m in numbers["localisation"]["maps"].items():
            low, high = m["energy_minus_uniform_95"]
            rows.append(
                [
                    name,
                    percent(m["energy"]),
                    f"{low * 100:+.1f} to {high * 100:+.1f}",
                    percent(m["energy_above_minimum"]),
                    percent(m["pointing"]),
                ]
            )
        parts.append(
            table(
                [
                    "map",
                    "energy in box",
                    "minus uniform, points (95 %)",
                    "energy in box, minimum removed",
                    "pointing hits",
                ],
                rows,
            )
        )
    if numbers["gates"]:
        keys = [
            "channel_mean",
            "channel_within",
            "channel_across",
            "channel_saturated",
            "spatial_mean",
            "spatial_within",
            "spatial_saturated",
        ]
        rows = [[name, *(f"{g[key]:.3f}" for key in keys)] for name, g in numbers["gates"].items()]
        parts.append(table(["layer", *(key.replace("_", " ") for key in keys)], rows))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the .json and .md")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        numbers = evaluate(options.checkpoint, options.data)
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.checkpoint.stem
    (options.out / f"{stem}.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    text = to_markdown(numbers)
    (options.out / f"{stem}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
