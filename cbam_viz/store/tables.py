"""Gates and their statistics as CSV, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from cbam_viz.attention import Attention, LayerAttention
from cbam_viz.errors import StoreError
from cbam_viz.images import Geometry, layer_shares
from cbam_viz.statistics import GateStatistics, LayerStatistics
from cbam_viz.store.files import write_atomic

COLUMNS = ("layer", "stage", "kind", "channel", "row", "column", "value", "photo_share")

_NUMBERS = (
    "mean",
    "spread",
    "minimum",
    "maximum",
    "closed",
    "opened",
    "saturated",
    "entropy",
    "count",
    "total",
    "not_finite",
)

STATISTICS_COLUMNS = (
    "layer",
    "stage",
    *(f"{gate}_{number}" for gate in ("channel", "spatial") for number in _NUMBERS),
    "flags",
)


def write_csv(
    target: str | Path | TextIO,
    attention: Attention,
    index: int = 0,
    geometry: Geometry | None = None,
    *,
    force: bool = False,
) -> None:
    """Write every gate value of image `index`, one a line, with the columns `COLUMNS`.

    Channel weights leave `row` and `column` empty, maps leave `channel` empty. Values have as many
    digits as tell float32 numbers apart. With the photo's `geometry`, `photo_share` is the share of
    the seen part of the photo that a cell covers: 0 for a cell in a border. Raises StoreError.
    """
    _write(target, csv_text(attention, index, geometry), force)


def csv_text(attention: Attention, index: int = 0, geometry: Geometry | None = None) -> str:
    """The content of the file that `write_csv` writes. Raises StoreError if no such image."""
    return _text(COLUMNS, _gate_rows(attention, index, geometry))


def write_statistics(
    target: str | Path | TextIO, statistics: Sequence[LayerStatistics], *, force: bool = False
) -> None:
    """Write one line a layer with the columns `STATISTICS_COLUMNS`. Raises StoreError."""
    _write(target, statistics_text(statistics), force)


def statistics_text(statistics: Sequence[LayerStatistics]) -> str:
    """The content of the file that `write_statistics` writes."""
    return _text(STATISTICS_COLUMNS, (_statistics_row(layer) for layer in statistics))


def _gate_rows(
    attention: Attention, index: int, geometry: Geometry | None
) -> Iterator[Sequence[object]]:
    for layer in attention.values():
        yield from _channel_rows(layer, index)
        yield from _spatial_rows(layer, index, geometry)


def _channel_rows(layer: LayerAttention, index: int) -> Iterator[Sequence[object]]:
    if layer.channel is None:
        return
    _check_index(index, len(layer.channel))
    for channel, value in enumerate(layer.channel[index].numpy()):
        yield layer.name, layer.stage, "channel", channel, "", "", value, ""


def _spatial_rows(
    layer: LayerAttention, index: int, geometry: Geometry | None
) -> Iterator[Sequence[object]]:
    if layer.spatial is None:
        return
    _check_index(index, len(layer.spatial))
    shares = layer_shares(layer, geometry)
    for (row, column), value in np.ndenumerate(layer.spatial[index].numpy()):
        share = "" if geometry is None else f"{shares[row, column]:.6g}"
        yield layer.name, layer.stage, "spatial", "", row, column, value, share


def _check_index(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise StoreError(f"There is no image {index} in a batch of {count}. Count from 0.")


def _statistics_row(layer: LayerStatistics) -> Sequence[object]:
    numbers = [
        "" if gate is None else _number(gate, name)
        for gate in (layer.channel, layer.spatial)
        for name in _NUMBERS
    ]
    return (layer.name, layer.stage, *numbers, "; ".join(layer.flags))


def _number(gate: GateStatistics, name: str) -> object:
    value = getattr(gate, name)
    return "" if value is None else value


def _text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def _write(target: str | Path | TextIO, text: str, force: bool) -> None:
    if isinstance(target, str | Path):
        write_atomic(target, text.encode(), force=force)
    else:
        target.write(text)
