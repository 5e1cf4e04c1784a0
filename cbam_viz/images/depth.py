"""Values of more than 8 bits as 8 bits: by what the file declares or the user states, never by a
guess from the values.

Scaling each photo by its own maximum would show two photos of one scene, one of them with a single
hot pixel, as two different pictures, and the network would answer differently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbam_viz.errors import ImageError

Pixels = npt.NDArray[np.uint8]
Window = tuple[float, float]
"""The value that is black and the value that is white."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _LARGEST_VALUE, _SAMPLE_FORMAT = 258, 262, 281, 339
"""TIFF 6.0, sections 8 and 19: tags of a picture's values."""
_WHITE_IS_ZERO = 0
_UNSIGNED, _SIGNED = 1, 2

DARK = 0.1
"""A note says how to state another white where the brightest value is below this share of it."""

_BAND = 1 << 22
"""Values that are brought to 8 bits at a time, so that a large photo needs little more memory."""


@dataclass(frozen=True)
class Depth:
    """What is declared of a picture's values."""

    white: float | None
    """The value that is white; None where nothing says."""
    inverted: bool = False
    """True where 0 is white and `white` is black."""
    window: Window | None = None
    """The values that the file says are black and white, as scans do."""
    signed_bytes: bool = False
    """True for integers from -128 to 127, which Pillow takes for 0 to 255."""


def check_window(window: Window | None) -> Window | None:
    """The window, if it is one; raises ImageError."""
    if window is None:
        return None
    low, high = window
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ImageError(
            f"A window from {low:g} to {high:g} is none: give two numbers, the value that is black "
            "and a greater one that is white."
        )
    return float(low), float(high)


def declared(image: Image.Image) -> Depth:
    """What a picture of one channel declares of its values; asked before it is decoded.

    PNG's samples span their whole depth (PNG, third edition, 13.12), so 65,535 is white there. TIFF
    states bits per sample, and may state the largest value.
    """
    if image.format == "TIFF":
        return _declared_by_tiff(getattr(image, "tag_v2", {}))
    wide = image.format in ("PNG", None) and image.mode.startswith("I;16")
    sixteen_bits = wide or (image.format == "PNG" and image.mode == "I")
    return Depth(2.0**16 - 1 if sixteen_bits else None)


def _declared_by_tiff(tags: Any) -> Depth:
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    bits = _first(tags.get(_BITS_PER_SAMPLE), 1)
    if bits == 8 and _first(tags.get(_SAMPLE_FORMAT), _UNSIGNED) == _SIGNED:
        return Depth(None, inverted, signed_bytes=True)
    if _first(tags.get(_SAMPLE_FORMAT), _UNSIGNED) != _UNSIGNED or bits > 16:
        return Depth(None, inverted)
    largest = _first(tags.get(_LARGEST_VALUE), 0)
    return Depth(float(largest if 0 < largest < 2**bits else 2**bits - 1), inverted)


def _first(value: Any, default: int) -> int:
    """A tag's number; tags of damaged files hold anything."""
    if isinstance(value, tuple):
        value = value[0] if value else default
    return value if isinstance(value, int) else default


def sixteen_bits() -> Depth:
    """What unsigned integers of 16 bits declare where nothing else does: they span their range."""
    return Depth(2.0**16 - 1)


def declared_by_type(dtype: np.dtype[Any]) -> Depth:
    """What an array's type declares: unsigned integers of 16 bits span their range."""
    return Depth(2.0**16 - 1 if dtype == np.uint16 else None)


def eight_bits(
    values: npt.NDArray[Any], depth: Depth, window: Window | None, title: str
) -> tuple[Pixels, Window, tuple[str, ...]]:
    """Numbers (...) as 8-bit values, the values that are black and white, and notes.

    A window that the user states goes first, then what is declared; floating point numbers from 0
    to 1 are 0 to 255. Raises ImageError for other ranges, of which nothing says what is white;
    `title` names the picture there.
    """
    low, high, missing = _extent(values)
    if missing == values.size:
        note = "No value is a finite number: shown black."
        return np.zeros(values.shape, np.uint8), window or (0.0, 1.0), (note,)
    notes: list[str] = []
    if window is not None:
        black, white = window
        notes.append(
            f"Values from {black:g} to {white:g} are shown from black to white, as stated."
        )
    elif depth.window is not None:
        black, white = depth.window
        notes.append(
            f"Values from {black:g} to {white:g} are shown from black to white, as the file says."
        )
    elif depth.white is not None:
        black, white = 0.0, depth.white
        notes.append(declared_note(white, high))
    elif values.dtype.kind == "f" and low >= 0 and high <= 1:
        black, white = 0.0, 1.0
    else:
        raise ImageError(
            f"{title}: its values go from {low:g} to {high:g}, and nothing says which one is "
            "white. State the values that are black and white, as in --window 0,255 on the command "
            "line, read_photo(..., window=(0, 255)) in Python, or “Window of scans” under “Input” "
            "in the app's sidebar before you bring the file; or save it with 8 or 16 bits."
        )
    if depth.inverted:
        black, white = white, black
        notes.append("0 is white in it, as the file says.")
    if missing:
        notes.append("Values that are not finite numbers are shown black.")
    return _scaled(values, black, white, missing > 0), (black, white), tuple(notes)


def declared_note(white: float, high: float, *, below: bool = False) -> str:
    """What was done by a declared depth; the brightest value is `high`, or at most so (`below`)."""
    note = f"Its values were brought to 8 bits: {white:,.0f} is white."
    if 0 < high < white * DARK:
        most = "at most " if below else ""
        note += (
            f" The brightest is {most}{high:,.0f}, so it is dark; if that is not meant, state "
            f"the values that are black and white, as in --window 0,{_power(high):.0f}."
        )
    return note


def _power(high: float) -> float:
    """The largest value of the narrowest depth that holds `high`."""
    return 2.0 ** max(1, math.ceil(math.log2(high + 1))) - 1


def _extent(values: npt.NDArray[Any]) -> tuple[float, float, int]:
    """Lowest and highest finite value, and how many are not finite."""
    low, high, missing = math.inf, -math.inf, 0
    for part in _bands(values):
        finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        missing += part.size - finite.size
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return low, high, missing


def _scaled(values: npt.NDArray[Any], black: float, white: float, holes: bool) -> Pixels:
    result = np.empty(values.size, np.uint8)
    start = 0
    for part in _bands(values):
        # In double precision, as 32-bit integers do not fit a float32; halves, as the difference
        # may overflow.
        share = (part.astype(np.float64) / 2 - black / 2) / (white / 2 - black / 2)
        if holes:
            share = np.where(np.isfinite(part), share, 0)
        result[start : start + part.size] = np.rint(share.clip(0, 1) * 255)
        start += part.size
    return result.reshape(values.shape)


def _bands(values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    flat = values.reshape(-1)
    return [flat[start : start + _BAND] for start in range(0, flat.size, _BAND)]
