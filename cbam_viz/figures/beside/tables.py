"""The values that a figure shows, as arrays (NPZ) and as a table (CSV)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.figures.build import Built
from cbam_viz.figures.content.gated import GatedChannel
from cbam_viz.figures.content.values import Bars, Grid, MapPicture, Place, Words
from cbam_viz.figures.draw.channels import ByClass
from cbam_viz.figures.draw.depth import Strip
from cbam_viz.images import numbers_on_photo, photo_shares
from cbam_viz.store import arrays_zip

DOCUMENT = "cbam_viz"
"""Key of the JSON text that says what the arrays are."""

COLUMNS = (
    "place",
    "photo",
    "network",
    "shown",
    "name",
    "channel",
    "minimum",
    "mean",
    "maximum",
    "cells",
    "cells_on_photo",
    "scale_low",
    "scale_high",
    "text",
)


@dataclass(frozen=True)
class Shown:
    """One array of a figure."""

    place: str
    """Such as `row 1 column 3`, as in the figure's own element names."""
    photo: str
    network: str
    shown: str
    """`map`, `channel weights` or `text`."""
    name: str
    """Layer, stage or class."""
    values: npt.NDArray[np.float32] | None
    scale: tuple[float, float] | None = None
    text: str = ""
    cells: tuple[dict[str, Any], ...] = ()
    """Where a map's cells lie on the network's input."""
    photo_share: npt.NDArray[np.float64] | None = None
    """(h, w), of the photo, by each cell of a map; 0 for cells in a border."""


def shown_values(built: Built) -> list[Shown]:
    """Everything that the figure shows as colour, bar or text, in reading order."""
    content = built.content
    if isinstance(content, Grid):
        return list(_of_grid(content))
    if isinstance(content, GatedChannel):
        return list(_of_grid(content.grid))
    if isinstance(content, Strip):
        return [
            entry
            for number, place in enumerate(content.maps)
            for entry in _of_place(f"picture {number + 2}", place)
        ]
    network = built.study.networks[0]
    if isinstance(content, ByClass):
        scale = (content.scale.low, content.scale.high)
        return [
            Shown(f"class {n + 1}", f"{one.photos} photos", network, "channel weights",
                  one.name, one.weights, scale, content.layer)
            for n, one in enumerate(content.classes)
        ]  # fmt: skip
    photos = [row[0].photo.name for row in built.study.analyses]
    return [
        Shown(f"panel {n + 1}", photo, network, "channel weights", panel.layer, weights)
        for n, panel in enumerate(content)
        for photo, weights in zip(photos, panel.weights, strict=True)
    ]


def arrays_bytes(built: Built) -> bytes:
    """An NPZ file with the arrays `0`, `1`, ... and a JSON text that says what each is.

    Maps are the gates as captured, (h, w) float32, on no scale; `0 photo_share` beside map `0` is
    the share of the photo that each of its cells covers. Equal figures give equal bytes.
    """
    entries = [entry for entry in shown_values(built) if entry.values is not None]
    described = [
        {k: v for k, v in asdict(e).items() if k not in ("values", "photo_share")} for e in entries
    ]
    document = json.dumps({"schema": 1, "arrays": described}, ensure_ascii=False)
    arrays: dict[str, npt.NDArray[Any]] = {DOCUMENT: np.array(document)}
    for number, entry in enumerate(entries):
        arrays[str(number)] = np.asarray(entry.values)
        if entry.photo_share is not None:
            arrays[f"{number} photo_share"] = entry.photo_share.astype(np.float32)
    return arrays_zip(arrays)


def numbers_text(built: Built) -> str:
    """CSV: a line for each map or text; channel weights have a line for each channel.

    A map's numbers are of the photo: its cells count by the area that they have there.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in shown_values(built):
        start = (entry.place, entry.photo, entry.network, entry.shown, entry.name)
        low, high = (f"{end!r}" for end in entry.scale) if entry.scale else ("", "")
        if entry.values is None:
            writer.writerow((*start, "", "", "", "", "", "", low, high, entry.text))
        elif entry.shown == "channel weights":
            for channel, weight in enumerate(entry.values.ravel()):
                value = _digits(weight)
                line = (*start, channel, value, value, value, "", "", low, high, entry.text)
                writer.writerow(line)
        else:
            numbers = _map_numbers(entry.values, entry.photo_share)
            writer.writerow((*start, "", *numbers, low, high, entry.text))
    return buffer.getvalue()


def _map_numbers(
    values: npt.NDArray[np.float32], photo_share: npt.NDArray[np.float64] | None
) -> tuple[object, ...]:
    """Minimum, mean and maximum on the photo, the number of cells, and of those on the photo."""
    share = np.ones(values.shape) if photo_share is None else photo_share
    numbers = (_digits(number) for number in numbers_on_photo(values, share))
    return *numbers, values.size, np.count_nonzero(share)


def _of_grid(grid: Grid) -> Iterator[Shown]:
    for r, row in enumerate(grid.rows):
        for c, place in enumerate(row):
            analysis = next((p.analysis for p in row if not isinstance(p, Words)), None)
            photo = analysis.photo.name if analysis else ""
            for entry in _of_place(f"row {r + 1} column {c + 1}", place):
                yield entry if entry.photo else _with_photo(entry, photo)


def _of_place(place: str, content: Place) -> Iterator[Shown]:
    if isinstance(content, Words):
        yield Shown(place, "", "", "text", "", None, text=content.text.replace("\n", " "))
    elif isinstance(content, Bars):
        photo, network = content.analysis.photo.name, content.analysis.model_name
        yield Shown(place, photo, network, "channel weights", content.name, content.weights)
    elif isinstance(content, MapPicture):
        photo, network = content.analysis.photo.name, content.analysis.model_name
        scale = (content.scale.low, content.scale.high)
        for values, cells in content.parts:
            height, width = values.shape
            share = photo_shares((height, width), cells, content.analysis.geometry)
            yield Shown(place, photo, network, "map", content.name, values, scale,
                        cells=(asdict(cells),), photo_share=share)  # fmt: skip


def _with_photo(entry: Shown, photo: str) -> Shown:
    return Shown(entry.place, photo, entry.network, entry.shown, entry.name, None, text=entry.text)


def _digits(value: Any) -> str:
    """As many digits as tell float32 numbers apart."""
    return f"{float(value):.9g}"
