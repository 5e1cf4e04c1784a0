"""Which network a command line means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cbam_viz.images import InputOptions

FOLDER_VARIABLE = "CBAM_VIZ_CHECKPOINTS"


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


def checkpoints_folder() -> Path:
    """Return where checkpoints lie: $CBAM_VIZ_CHECKPOINTS, the checkout's folder, ./checkpoints."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    beside_package = Path(__file__).resolve().parents[2] / "checkpoints"
    return beside_package if beside_package.is_dir() else Path("checkpoints")
