"""Which network a command line means."""

from __future__ import annotations

from dataclasses import dataclass

from cbam_viz._places import FOLDER_VARIABLE, checkpoints_folder

__all__ = ["FOLDER_VARIABLE", "ModelChoice", "checkpoints_folder"]


@dataclass(frozen=True)
class ModelChoice:
    """What the command line says about the network; picklable, for worker processes."""

    checkpoint: str | None = None
    architecture: str | None = None
    attention: str | None = None
    num_classes: int | None = None
    factory: str | None = None
    allow_missing_attention: bool = False
