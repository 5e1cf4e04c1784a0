"""What a watched run says of itself (`run.json`), and the file of one epoch.

A run is a folder: `run.json`, and in `epochs/` a Parquet file for each epoch with a row for each
probe photo and the columns of a store's shard (docs/store.md), the epoch before them. A file is
there as a whole or not at all. The folder may come from anybody, so that `run.json` is read against
the types below.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cbam_viz._schema import MismatchError, checked, read_json
from cbam_viz.attention import Attention
from cbam_viz.errors import StoreError
from cbam_viz.images import Geometry, InputSpec, View
from cbam_viz.store.files import write_atomic
from cbam_viz.store.npz import layer_document
from cbam_viz.store.precision import Array
from cbam_viz.store.provenance import versions
from cbam_viz.store.shards import LayerColumns, Layout, PhotoRow, shard_bytes, unfit

if TYPE_CHECKING:
    from cbam_viz.images import Photo

RUN = "run.json"
EPOCHS = "epochs"
PHOTOS = "photos"
SCHEMA = 1
THUMBNAIL = 320
"""Longer side of a probe photo's picture in the run."""
MOST_PROBES = 64
"""Photos or inputs that a run is measured on; each takes a row in every epoch's file."""

Unit = Literal["epoch", "step"]
MadeBy = Literal["checkpoints", "log"]
Rule = Literal["name", "file", "both", "time", "log"]
RULES: dict[Rule, str] = {
    "name": "read from the names of the files",
    "file": "read from what the files say",
    "both": "read from the names of the files, else from what they say",
    "time": "counted in the order in which the files were written, as nothing says them",
    "log": "those that the training gave",
}


@dataclass(frozen=True)
class Probe:
    """One of the fixed photos."""

    name: str
    sha256: str
    """Of the photo's file, or of the input tensor where that was given."""
    picture: str | None = None
    """Name of its small copy in `photos/`."""

    def __post_init__(self) -> None:
        """Refuse the name of a file that does not lie there."""
        if self.picture is not None and Path(self.picture).name != self.picture:
            raise ValueError(f"{self.picture!r} is no plain name of a file")


@dataclass(frozen=True)
class Record:
    """A run's own description: what all of its epochs have in common."""

    made_by: MadeBy
    """`checkpoints`: measured from files afterwards; `log`: by a training while it ran."""
    unit: Unit
    """What the numbers of its files count."""
    rule: Rule
    """Where these numbers come from; `RULES` has it in words."""
    model: str
    probes: tuple[Probe, ...]
    layout: Layout
    view: View
    spec: InputSpec | None = None
    """What the network was fed; None where the input was made elsewhere (`pipeline`)."""
    pipeline: str = ""
    """What made the input in place of `spec`."""
    made_with: dict[str, str] = field(default_factory=dict)
    """What must be the same when the run is measured on."""
    versions: dict[str, str] = field(default_factory=versions)
    schema: int = SCHEMA

    @property
    def order(self) -> str:
        """Where the numbers of its epochs come from, in a sentence."""
        return order_of(self.unit, self.rule)


def order_of(unit: Unit, rule: Rule) -> str:
    """Where numbers come from, in a sentence."""
    return f"{unit.capitalize()}s are {RULES[rule]}."


def write_record(folder: Path, record: Record) -> None:
    """Write `run.json`. Raises StoreError."""
    text = json.dumps(asdict(record), indent=1, ensure_ascii=True, allow_nan=False)
    write_atomic(folder / RUN, text.encode() + b"\n", force=True)


def read_record(folder: Path) -> Record | None:
    """Read `run.json`; None if there is none. Raises StoreError if it is not ours."""
    path = folder / RUN
    try:
        document = read_json(path.read_bytes())
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(schema, int) and schema != SCHEMA:
            raise StoreError(
                f"{path} was written by another version of cbam-viz (layout {schema}; this one "
                f"reads {SCHEMA}). Update cbam-viz."
            )
        return checked(document, Record)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, MismatchError, ValueError) as error:
        raise StoreError(f"{path} describes no run, or is damaged: {error}.") from error


def layout_of(attention: Attention) -> Layout:
    """The columns for a network's gates, nothing rounded."""
    layers = tuple(
        LayerColumns(
            layer.name,
            None if layer.channel is None else layer.channel.shape[1],
            None if layer.spatial is None else (layer.spatial.shape[1], layer.spatial.shape[2]),
        )
        for layer in attention.values()
    )
    return Layout(layers, precision="float32")


def misfit(layout: Layout, attention: Attention) -> str:
    """Why an epoch's gates are none of this run; empty if they are."""
    missing = [one.name for one in layout.layers if one.name not in attention]
    if missing:
        return f"it has no gates at {missing[0]}, where the first epoch had some"
    reason = unfit(layout, _gates(attention, 0))
    return reason.replace("first photo", "first epoch")


def epoch_path(folder: Path, number: int) -> Path:
    """Where the file of an epoch lies."""
    return folder / EPOCHS / f"{number:09}.parquet"


@dataclass(frozen=True)
class Measured:
    """What one epoch gave: the gates of all probes, in one `Attention` or one for each."""

    attentions: tuple[Attention, ...]
    """B = 1 each."""
    geometries: tuple[Geometry, ...]
    source: dict[str, Any] | None = None
    """Which checkpoint it was."""


def write_epoch(folder: Path, record: Record, number: int, measured: Measured) -> None:
    """Write an epoch's file as a whole. Raises StoreError."""
    rows = [
        PhotoRow(
            photo=n,
            name=probe.name,
            sha256=probe.sha256,
            geometry=geometry,
            gates=_gates(attention, 0),
        )
        for n, (probe, attention, geometry) in enumerate(
            zip(record.probes, measured.attentions, measured.geometries, strict=True)
        )
    ]
    first = measured.attentions[0]
    document = {
        record.unit: number,
        "source": measured.source,
        "input_size": list(first.input_size),
        "layers": {name: {"key": name, **layer_document(one)} for name, one in first.items()},
        "unsupported": [asdict(one) for one in first.unsupported],
        "not_called": list(first.not_called),
    }
    before = {str(record.unit): [number] * len(rows)}
    data = shard_bytes(record.layout, rows, document, before=before)
    write_atomic(epoch_path(folder, number), data, force=True)


def _gates(attention: Attention, row: int) -> dict[str, Array]:
    gates: dict[str, Array] = {}
    for name, layer in attention.items():
        for part, values in (("channel", layer.channel), ("spatial", layer.spatial)):
            if values is not None:
                gates[f"{name}/{part}"] = values[row].numpy()
    return gates


def write_pictures(folder: Path, photos: Sequence[Photo]) -> tuple[str, ...]:
    """Write small copies of the probe photos; return their names. Raises StoreError."""
    from cbam_viz.render import encode, fit_size, resize_photo

    names = []
    _make(folder / PHOTOS)
    for number, photo in enumerate(photos):
        small = resize_photo(photo.shown, fit_size(photo.size, THUMBNAIL))
        name = f"{number:03}.jpg"
        write_atomic(folder / PHOTOS / name, encode(np.asarray(small), "jpeg", 88), force=True)
        names.append(name)
    return tuple(names)


def make_folders(folder: Path) -> None:
    """Make the run's folders. Raises StoreError."""
    _make(folder / EPOCHS)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {folder} cannot be made: {error.strerror}.") from error
