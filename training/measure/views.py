"""How a network fares in the views that the app offers, and how much each changes its gates.

The views: the central crop, the whole photo in a square with a border, and the whole photo as a
rectangle. What they change is held against a *tighter crop*: 80 % of the square's side.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cbam_viz.attention import LayerAttention
from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture
from cbam_viz.images import Geometry, InputSpec, ModelInput, Photo, prepare, read_photo
from cbam_viz.render import fit_size
from cbam_viz.render.placement import place
from training.data.folder import Listing

CHANGES = ("channel weights", "spatial maps")

VIEWS = ("crop", "tighter crop", "border", "rectangle")

TIGHTER = 0.8
"""Side of the tighter crop, as a share of the crop's."""
COMPARED_SIDE = 64
"""Longer side, in pixels, of the photo on which maps of two views are compared."""


def in_view(photo: Photo, spec: InputSpec, view: str) -> ModelInput:
    """A photo in one of `VIEWS`."""
    if view == "tighter crop":
        spec = replace(spec, crop_pct=TIGHTER * spec.crop_pct)
    elif view != "crop":
        spec = replace(spec, fixed_size=view == "border")
    return prepare(photo, spec, "crop" if view.endswith("crop") else "whole")


def all_views(photo: Photo, spec: InputSpec) -> dict[str, ModelInput]:
    """A photo in each view, by name."""
    return {view: in_view(photo, spec, view) for view in VIEWS}


@torch.inference_mode()
def accuracy_in_views(network: nn.Module, spec: InputSpec, listing: Listing) -> dict[str, float]:
    """Top-1 of all photos in each view, 0..1."""
    right: dict[str, int] = {}
    pairs = list(zip(listing.files, listing.labels, strict=True))
    for file, label in tqdm(pairs, desc="views", disable=None):
        for name, made in all_views(read_photo(file), spec).items():
            hit = int(network(made.tensor).argmax(1)) == label
            right[name] = right.get(name, 0) + hit
    return {name: count / len(pairs) for name, count in right.items()}


def map_change(
    one: tuple[LayerAttention, Geometry], other: tuple[LayerAttention, Geometry]
) -> float | None:
    """Mean absolute difference of two maps of a photo, where both saw it; None if nowhere."""
    placed = []
    for layer, geometry in (one, other):
        if layer.spatial is None or layer.cells is None:
            return None
        values: NDArray[np.float32] = layer.spatial[0].numpy()
        size = fit_size(geometry.photo_size, COMPARED_SIDE)
        placed.append(place(values, layer.cells, geometry, size))
    both = placed[0].seen & placed[1].seen
    if not both.any():
        return None
    return float(np.abs(placed[0].values - placed[1].values)[both].mean())


@torch.inference_mode()
def gate_changes(
    network: nn.Module, spec: InputSpec, listing: Listing, limit: int = 120
) -> dict[str, dict[str, float]]:
    """How far the gates of a view differ from those of the crop, over evenly spaced photos.

    For each view the mean absolute difference of all channel weights, and of all spatial maps at
    the same places of the photo; means over photos and layers.
    """
    rows: dict[str, dict[str, list[float]]] = {}
    files = listing.files[:: max(1, len(listing.files) // limit)]
    for file in tqdm(files, desc="gates in views", disable=None):
        made = all_views(read_photo(file), spec)
        seen = {name: capture(network, one.tensor) for name, one in made.items()}
        crop = seen.pop("crop")
        for view, attention in seen.items():
            row = rows.setdefault(view, {gate: [] for gate in CHANGES})
            for name, layer in attention.items():
                if layer.channel is not None and (base := crop[name].channel) is not None:
                    row["channel weights"].append(float((layer.channel - base).abs().mean()))
                change = map_change(
                    (crop[name], made["crop"].geometry), (layer, made[view].geometry)
                )
                if change is not None:
                    row["spatial maps"].append(change)
    return {
        view: {gate: float(np.mean(values)) for gate, values in row.items() if values}
        for view, row in rows.items()
    }


def measure_views(network: nn.Module, spec: InputSpec, listing: Listing) -> dict[str, Any]:
    """Accuracy in every view, and how far each changes the gates, if there are any."""
    found: dict[str, Any] = {"top1": accuracy_in_views(network, spec, listing)}
    try:
        found["gate_changes"] = gate_changes(network, spec, listing)
    except NoAttentionError:
        found["gate_changes"] = {}
    return found


def views_table(numbers: dict[str, Any]) -> list[list[str]]:
    """Rows of view, accuracy, and both changes, for a markdown table."""
    rows = []
    for view, top1 in numbers["top1"].items():
        changes = numbers["gate_changes"].get(view, {})
        cells = [f"{changes[g]:.3f}" if g in changes else "" for g in CHANGES]
        rows.append([view, f"{top1:.1%}", *cells])
    return rows
