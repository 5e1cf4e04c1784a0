"""Which network is asked for. Nothing here knows Streamlit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cbam_viz.images import InputOptions


@dataclass(frozen=True)
class Request:
    """What to load. Hashable, so that a network is found again."""

    path: Path | None = None
    """A file of the checkpoints folder, found by listing it; None for an upload or no file."""
    stamp: int = 0
    """The file's time of change: a replaced file is another network."""
    sha256: str | None = None
    """Of an upload's bytes."""
    name: str | None = None
    architecture: str | None = None
    own: str | None = None
    """The name of a network of one's own code, of `own_networks`."""
    input: InputOptions | None = None
    """What of its input this visitor asks for."""
    classes: tuple[str, ...] | None = None
    """Names of its classes, if this visitor states them."""
    insist: bool = False
    """Show the network although the file holds no weights for its attention."""
    attention: str | None = None
    """`none` for a network without attention, to stand beside one; else the file says it."""
