"""Run states for resuming, and the safetensors files that the app opens."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cbam_viz._whole import whole
from cbam_viz.models.metadata import KEY, SCHEMA
from cbam_viz.models.save import tensors_of, write_described
from training.errors import TrainingError
from training.run.recipe import Phase, Recipe

T = TypeVar("T")
CODE_VERSION = "0.1.0"


@dataclass
class RunState:
    """Everything a run needs to go on as if it had not stopped."""

    step: int
    recipe: str
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizers: list[dict[str, Any]]
    best: float


def save_state(state: object, path: Path) -> None:
    """Write a state, a dataclass; a run that is killed while writing keeps its previous one."""
    with whole(path, force=True) as part:
        torch.save(vars(state), part)


def load_state(path: Path) -> RunState:
    """Read the state of a run of `training.run.train`.

    Raises:
        TrainingError: the file is none.
    """
    return read_state(path, RunState)


def read_state(path: Path, kind: type[T]) -> T:
    """Read a state of some kind, a dataclass.

    Raises:
        TrainingError: the file is none.
    """
    try:
        return kind(**torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, OSError, TypeError, EOFError, KeyError, UnpicklingError) as error:
        raise TrainingError(f"{path} cannot be resumed from: {error}") from error


MAY_CHANGE = frozenset(
    {
        "phases",
        "cooldown",
        "gate_decay",
        "gate_decay_after",
        "open_spatial",
        "open_spatial_after",
    }
)


def other_recipe(changed: list[str]) -> TrainingError:
    """What to say of a run that was started with other options of these names."""
    return TrainingError(
        f"This run was started with another recipe ({', '.join(changed)} differ). Give the same "
        "options to resume it, or another --out to start afresh."
    )


def check_resumable(stored: str, recipe: Recipe, step: int) -> None:
    """Refuse to resume with another recipe; only what lies ahead of `step` may differ.

    Raises:
        TrainingError: the recipe was changed.
    """
    old, new = json.loads(stored), json.loads(recipe.to_json())
    changed = sorted(key for key in new if old.get(key) != new[key])
    if set(changed) - MAY_CHANGE:
        raise other_recipe(changed)
    before = replace(
        recipe,
        phases=tuple(Phase(**phase) for phase in old["phases"]),
        cooldown=old["cooldown"],
        gate_decay=old.get("gate_decay", 0.0),
        gate_decay_after=old.get("gate_decay_after", 0),
        open_spatial=old.get("open_spatial", 0.0),
        open_spatial_after=old.get("open_spatial_after", 0),
    )
    if any(
        one(past) != other(past)
        for one, other in (
            (before.side_at, recipe.side_at),
            (before.rate_at, recipe.rate_at),
            (before.gate_decay_at, recipe.gate_decay_at),
            (before.open_spatial_at, recipe.open_spatial_at),
        )
        for past in range(step)
    ):
        raise TrainingError("These options would have changed the part that is done already.")


def describe(
    recipe: Recipe, classes: list[str], accuracy: dict[str, Any], **texts: Any
) -> dict[str, Any]:
    """The metadata by which `cbam_viz.create_model` rebuilds the network; `texts` adds to it."""
    return {
        "schema": SCHEMA,
        "architecture": recipe.architecture,
        "attention": recipe.attention,
        "arguments": recipe.arguments,
        "inserted_cbam": None,
        "num_classes": len(classes),
        "classes": classes,
        "accuracy": accuracy,
        "code_version": CODE_VERSION,
        **texts,
    }


def export(network: nn.Module, metadata: dict[str, Any], path: Path) -> None:
    """Write the network's tensors as float32 under timm's names, with the metadata."""
    tensors = {
        key: value.float() if value.is_floating_point() else value
        for key, value in tensors_of(network).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_described(tensors, metadata, path)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata object of a checkpoint.

    Raises:
        TrainingError: the file has none.
    """
    try:
        with safe_open(str(path), "pt") as opened:
            text = (opened.metadata() or {}).get(KEY)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise TrainingError(f"{path} is no safetensors file: {error}") from error
    if text is None:
        raise TrainingError(f"{path} carries no cbam_viz metadata.")
    metadata: dict[str, Any] = json.loads(text)
    return metadata
