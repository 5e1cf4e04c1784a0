"""What `cbam-viz evaluate` measured, read back from its `table.json`, for a figure of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbam_viz.errors import FigureError
from cbam_viz.evaluation import Curve
from cbam_viz.evaluation.measures import Better
from cbam_viz.figures.ask.plain import from_plain
from cbam_viz.images import DEFAULT_VIEW

MAX_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Measurement:
    """One measure of one map over all photos, as a row of the table has it."""

    map: str
    measure: str
    better: Better
    mean: float
    low: float | None
    """Of the bootstrap interval; None for one photo."""
    high: float | None
    photos: int
    less_gaussian: float | None = None
    less_gaussian_low: float | None = None
    less_gaussian_high: float | None = None
    beats_gaussian: str | None = None
    less_random: float | None = None
    less_random_low: float | None = None
    less_random_high: float | None = None
    beats_random: str | None = None


@dataclass(frozen=True)
class Document:
    """A whole `table.json`."""

    settings: Mapping[str, Any]
    photos: int
    interval: str
    """What intervals are, in words."""
    sentences: tuple[str, ...]
    rows: tuple[Measurement, ...]
    curves: tuple[Curve, ...] = ()


@dataclass(frozen=True)
class Evaluated:
    """What was measured, in the place of a figure's analysed photos (`Study`)."""

    document: Document

    analyses = ()
    photos = ()
    border = ""
    view = DEFAULT_VIEW
    fed = assumed = ("",)

    @property
    def networks(self) -> tuple[str, ...]:
        """The network's name."""
        return (str(self.document.settings.get("model", "")),)

    @property
    def counted(self) -> str:
        """How many photos, in words."""
        count = self.document.photos
        return f"{count} photo{'' if count == 1 else 's'}"


def evaluated(source: Path | bytes | Mapping[str, Any], name: str = "table.json") -> Evaluated:
    """From the file that `cbam-viz evaluate` wrote, its bytes or its data; every field is checked.

    Raises:
        FigureError: it cannot be read, or is no such table.
    """
    if isinstance(source, Path):
        name, source = source.name, read_table(source)
    if isinstance(source, bytes):
        try:
            source = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise FigureError(f"{name} is no table of cbam-viz evaluate: it is no JSON.") from error
    if not isinstance(source, Mapping) or not {"rows", "curves", "settings"} <= {*source}:
        raise FigureError(f"{name} is no table.json of cbam-viz evaluate.")
    document = from_plain(Document, source, f"the table {name}")
    if not document.rows:
        raise FigureError(f"{name} has no measurement that could be drawn.")
    return Evaluated(document)


def read_table(path: Path) -> bytes:
    """The bytes of a table. Raises FigureError if it is not there or too large."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FigureError(f"{path.name} is too large for a table of cbam-viz evaluate.")
        return path.read_bytes()
    except OSError as error:
        raise FigureError(f"{path} cannot be read: {error.strerror}.") from error
