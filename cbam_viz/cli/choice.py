"""Which network a command line means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbam_viz._places import FOLDER_VARIABLE, checkpoints_folder

if TYPE_CHECKING:
    from cbam_viz.images import InputOptions

__all__ = ["FOLDER_VARIABLE", "ModelChoice", "checkpoints_folder"]


@dataclass(frozen=True)
class ModelChoice:
    """What the command line says about the network; picklable, for worker processes."""

    checkpoint: str | None = None
    architecture: str | None = None
    attention: str | None = None
    num_classes: int | None = None
    factory: str | None = None
    arguments: tuple[tuple[str, str], ...] = ()
    """Of the factory, as text."""
    allow_missing_attention: bool = False
    input: InputOptions | None = None
    """What of its input is asked for."""
    classes: tuple[str, ...] | None = None
    """Names of its classes, if they are stated."""
