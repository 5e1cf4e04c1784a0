"""The values that a figure shows, as arrays (NPZ) and as a table (CSV)."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.values import Shown
from cbam_viz.images import numbers_on_photo
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


def shown_values(figure: Composition) -> list[Shown]:
    """Everything that the figure shows as colour, bar or text, in reading order."""
    return list(figure.content.shown(figure.study))


def arrays_bytes(figure: Composition) -> bytes:
    """An NPZ file with the arrays `0`, `1`, ... and a JSON text that says what each is.

    Maps are the gates as captured, (h, w) float32, on no scale; `0 photo_share` beside map `0` is
    the share of the photo that each of its cells covers. Equal figures give equal bytes.
    """
    entries = [entry for entry in shown_values(figure) if entry.values is not None]
    described = [
        {k: v for k, v in asdict(e).items() if k not in ("values", "photo_share", "in_table")}
        for e in entries
    ]
    document = json.dumps({"schema": 1, "arrays": described}, ensure_ascii=False)
    arrays: dict[str, npt.NDArray[Any]] = {DOCUMENT: np.array(document)}
    for number, entry in enumerate(entries):
        arrays[str(number)] = np.asarray(entry.values)
        if entry.photo_share is not None:
            arrays[f"{number} photo_share"] = entry.photo_share.astype(np.float32)
    return arrays_zip(arrays)


def numbers_text(figure: Composition) -> str:
    """CSV: a line for each map, text or detection; channel weights have one for each channel.

    A map's numbers are of the photo: its cells count by the area that they have there.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in shown_values(figure):
        if not entry.in_table:
            continue
        start = (entry.place, entry.photo, entry.network, entry.shown, entry.name)
        low, high = (f"{end!r}" for end in entry.scale) if entry.scale else ("", "")
        if entry.values is None:
            writer.writerow((*start, "", "", "", "", "", "", low, high, entry.text))
        elif entry.shown == "channel weights":
            for channel, weight in enumerate(entry.values.ravel()):
                value = _digits(weight)
                line = (*start, channel, value, value, value, "", "", low, high, entry.text)
                writer.writerow(line)
        elif entry.shown == "curve":
            for share, score in zip(
                np.linspace(0, 1, entry.values.size), entry.values, strict=True
            ):
                value, text = _digits(score), f"{share:.4g} replaced; {entry.text}"
                writer.writerow((*start, "", value, value, value, "", "", low, high, text))
        elif not entry.values.ndim:
            value = _digits(entry.values)
            writer.writerow((*start, "", value, value, value, "", "", low, high, entry.text))
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


def _digits(value: Any) -> str:
    """As many digits as tell float32 numbers apart."""
    return f"{float(value):.9g}"
