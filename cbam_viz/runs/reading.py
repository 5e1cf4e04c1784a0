"""A run, opened: its epochs in order, and the gates of each as they were captured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz._places import SAMPLE
from cbam_viz._text import few, shortened
from cbam_viz.analysis import Analysis
from cbam_viz.attention import Attention
from cbam_viz.dataset.checking import checked, refuse_bomb
from cbam_viz.errors import CbamVizError, StoreError
from cbam_viz.images import Geometry, Photo, read_photo
from cbam_viz.runs.record import EPOCHS, PHOTOS, RUN, Record, epoch_path, read_record
from cbam_viz.store.arrow import parquet
from cbam_viz.store.rebuild import rebuild_attention
from cbam_viz.store.shards import DOCUMENT

INSIDE = "gates"
"""In the folder of a training: where `watch` and the training code of this project put the run."""
DIGITS = 16
"""Of the number of an epoch or a step, at most."""
SAMPLES = Path(__file__).parent / "samples"
_PLACE = (
    "photo_height", "photo_width", "input_height", "input_width", "scale_y", "scale_x",
    "offset_y", "offset_x",
)  # fmt: skip


@dataclass(frozen=True)
class Epoch:
    """What one epoch's file holds."""

    number: int
    attentions: tuple[Attention, ...]
    """Of each probe, B = 1 and no output."""
    geometries: tuple[Geometry, ...]
    """Where the network's input lies on each probe photo."""
    source: dict[str, Any] | None
    """Which checkpoint it was: `name`, `size`, `modified`, `sha256`."""


@dataclass(frozen=True)
class Run:
    """A run that can be read. Gates stay on disk until they are asked for."""

    path: Path
    record: Record
    numbers: tuple[int, ...]
    """Epochs, or steps, that are there, in order."""

    @property
    def name(self) -> str:
        """What to call it."""
        folder = self.path.parent if self.path.name == INSIDE else self.path
        return folder.name or str(folder)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names in order of execution."""
        return tuple(one.name for one in self.record.layout.layers)

    @property
    def maps(self) -> tuple[str, ...]:
        """Layers that have a map."""
        return tuple(one.name for one in self.record.layout.layers if one.map_size is not None)

    def called(self, number: int) -> str:
        """`epoch 3`."""
        return f"{self.record.unit} {number}"

    def epoch(self, number: int) -> Epoch:
        """Read one of them. Raises StoreError if its file is damaged or another run's."""
        return _read_epoch(epoch_path(self.path, number), self.record, number)

    @cached_property
    def photos(self) -> tuple[Photo, ...]:
        """The probe photos as the run has them: small, grey where there is no copy."""
        return tuple(_photo(self.path, probe) for probe in self.record.probes)

    def analyses(self, number: int) -> tuple[Analysis, ...]:
        """One epoch's results on the small copies of the probe photos, for figures and pictures."""
        epoch, record = self.epoch(number), self.record
        return tuple(
            Analysis(
                photo=photo,
                model_name=self.called(number),
                classes=None,
                attention=attention,
                geometry=_on_copy(geometry, photo),
                predictions=(),
                prediction_note="",
                spec=record.spec,
                pipeline=record.pipeline,
            )
            for photo, attention, geometry in zip(
                self.photos, epoch.attentions, epoch.geometries, strict=True
            )
        )


def find_run(place: str | Path) -> Path | None:
    """The folder of a run: the place itself, `gates` in it, or what `sample:NAME` means.

    None if there is no run.
    """
    text = str(place)
    folder = SAMPLES / Path(text[len(SAMPLE) :]).name if text.startswith(SAMPLE) else Path(place)
    return next((one for one in (folder, folder / INSIDE) if (one / RUN).is_file()), None)


def sample_runs() -> tuple[str, ...]:
    """Names of the runs that come with the package."""
    return tuple(sorted(one.parent.name for one in SAMPLES.glob(f"*/{RUN}")))


def open_run(place: str | Path) -> Run:
    """Open a run, also one that still goes on. Raises StoreError if it is none, or empty."""
    folder = find_run(place)
    record = None if folder is None else read_record(folder)
    if folder is None or record is None:
        raise StoreError(
            f"{place} holds no {RUN}, so nothing of it has been measured. For a folder of "
            f"checkpoints, cbam-viz watch {place} does that; cbam_viz.log_gates does it while "
            "a training runs."
        )
    if record.layout.varying or record.layout.output is not None:
        raise StoreError(f"{folder / RUN} describes no run: its columns are those of a store.")
    names = [one.name for one in record.layout.layers]
    if not names or len(set(names)) < len(names) or not record.probes:
        raise StoreError(
            f"{folder / RUN} describes no run: it has no layers, one of them twice, or no photos."
        )
    run = Run(folder, record, measured(folder))
    if not run.numbers:
        raise StoreError(f"{folder} holds no {record.unit} yet. Look again when one is there.")
    return run


def measured(folder: Path) -> tuple[int, ...]:
    """The numbers of the epochs whose files are there."""
    stems = [file.stem for file in (folder / EPOCHS).glob("[0-9]*.parquet")]
    numbers = {int(stem) for stem in stems if stem.isdecimal() and len(stem) <= DIGITS}
    return tuple(sorted(n for n in numbers if epoch_path(folder, n).stem in stems))


def spaced(numbers: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of them, evenly spaced, the first and the last among them."""
    at = np.unique(np.rint(np.linspace(0, len(numbers) - 1, min(most, len(numbers)))).astype(int))
    return tuple(numbers[n] for n in at)


def read_source(folder: Path, number: int) -> dict[str, Any] | None:
    """Which checkpoint an epoch was measured from; None if it is not known."""
    try:
        found = parquet().read_metadata(epoch_path(folder, number)).metadata
        source = _document(found)["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return source if isinstance(source, dict) else None


def _document(metadata: Any) -> dict[str, Any]:
    import json

    document = json.loads(metadata[DOCUMENT])
    if not isinstance(document, dict):
        raise TypeError("no description")
    return document


def _read_epoch(path: Path, record: Record, number: int) -> Epoch:
    try:
        file = parquet().ParquetFile(path)
        refuse_bomb(file.metadata)
        columns = ["sha256", "view", "border", *_PLACE, *_columns(record)]
        table = checked(file.read(columns=columns, use_threads=False), columns)
        document = _document(table.schema.metadata)
        _check_document(document, record, number)
        arrays = _arrays(table, record)
        attentions = tuple(
            rebuild_attention(
                document["layers"],
                {key: values[n : n + 1] for key, values in arrays.items()},
                document,
            )
            for n in range(len(record.probes))
        )
        geometries = tuple(_geometry(row) for row in _rows(table))
        source = document["source"] and dict(document["source"])
    except FileNotFoundError as error:
        raise StoreError(f"{path} is gone. Open the run again.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError,
            OverflowError) as error:  # fmt: skip
        then = (
            f"Remove it: the run is then shown without this {record.unit}"
            if record.made_by == "log"
            else "Remove it and watch the run again, which measures it anew"
        )
        raise StoreError(
            f"{path} is damaged ({shortened(str(error) or type(error).__name__)}). {then}."
        ) from error
    return Epoch(number, attentions, geometries, source)


def _columns(record: Record) -> list[str]:
    """Those of the gates."""
    return [
        f"{one.name}/{part}"
        for one in record.layout.layers
        for part, there in (("channel", one.channels), ("spatial", one.map_size))
        if there is not None
    ]


def _check_document(document: dict[str, Any], record: Record, number: int) -> None:
    """Raise ValueError for the description of another epoch's file, or of other layers."""
    if document[record.unit] != number:
        raise ValueError(f"it is of {record.unit} {shortened(str(document[record.unit]))}")
    if list(document["layers"]) != [one.name for one in record.layout.layers]:
        raise ValueError("it is of other layers than the run")
    if any(about["key"] != name for name, about in document["layers"].items()):
        raise ValueError("it mixes up its layers")


def _arrays(table: Any, record: Record) -> dict[str, npt.NDArray[np.float32]]:
    """Every gate of all probes, (B, C) and (B, h, w)."""
    count = len(record.probes)
    if table.num_rows != count:
        raise ValueError(f"it has {table.num_rows} photos, and the run {count}")
    if table["sha256"].to_pylist() != [one.sha256 for one in record.probes]:
        raise ValueError("it is of other photos than the run")
    arrays = {}
    for layer in record.layout.layers:
        size = None if layer.channels is None else (layer.channels,)
        for part, shape in (("channel", size), ("spatial", layer.map_size)):
            if shape is None:
                continue
            key = f"{layer.name}/{part}"
            values = table[key].combine_chunks().flatten().to_numpy()
            if values.size != count * math.prod(shape) or values.dtype != np.float32:
                raise ValueError(f"{key} is not of {few(tuple(map(str, shape)))} values")
            arrays[key] = values.reshape(count, *shape)
    return arrays


def _rows(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.select([*_PLACE, "view", "border"]).to_pylist()
    return rows


def _geometry(row: dict[str, Any]) -> Geometry:
    border = row["border"]
    scale_y, scale_x, offset_y, offset_x = (float(row[name]) for name in _PLACE[4:])
    return Geometry(
        (row["photo_height"], row["photo_width"]),
        (row["input_height"], row["input_width"]),
        scale_y,
        scale_x,
        offset_y,
        offset_x,
        row["view"],
        None if border is None else _colour(border),
    )


def _colour(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _photo(folder: Path, probe: Any) -> Photo:
    if probe.picture is not None:
        try:
            return read_photo(folder / PHOTOS / probe.picture, name=probe.name)
        except CbamVizError:
            pass
    note = "There is no copy of this photo in the run."
    return Photo(np.full((64, 64, 3), 128, np.uint8), probe.name, probe.sha256, "array", (note,))


def _on_copy(geometry: Geometry, photo: Photo) -> Geometry:
    """The same place on a copy of the photo of another size."""
    down, across = (new / old for new, old in zip(photo.size, geometry.photo_size, strict=True))
    return Geometry(
        photo.size,
        geometry.input_size,
        geometry.scale_y * down,
        geometry.scale_x * across,
        geometry.offset_y * down,
        geometry.offset_x * across,
        geometry.view,
        geometry.border,
    )
