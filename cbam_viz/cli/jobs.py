"""What `cbam-viz export` has to do, and what came of it: plain values that travel to workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbam_viz.cli.inputs import Reading

if TYPE_CHECKING:
    from cbam_viz.cli.choice import ModelChoice
    from cbam_viz.cli.drawing import Style
    from cbam_viz.images import View


@dataclass(frozen=True)
class Job:
    """What is done with each image; sent to each worker once."""

    choice: ModelChoice
    view: View
    layers: tuple[str, ...]
    formats: tuple[str, ...]
    style: Style
    force: bool = False
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True)
class Target:
    """One image and where its results go."""

    source: Path
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    source: Path
    folder: Path
    error: str | None = None
    """Why it failed, in a sentence."""
    files: tuple[Path, ...] = ()
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    """What was done to show it, in sentences."""
    predictions: tuple[dict[str, Any], ...] = ()
    prediction_note: str = ""
    """Why there is no prediction, or what is not known of it."""
    fed: str = ""
    """What the network was fed, and who says so."""
    border: str = ""
    """What surrounds the photo in the network's input, in words; empty if nothing does."""
