"""Numbers and letters as figures write them, in pictures and in captions alike."""

from __future__ import annotations

import math

MINUS = "−"

NO_BREAK = "\u00a0"
"""A space at which no line breaks; set as a plain one."""

MOST_DECIMALS = 6
"""Float32 gates near 1 hold no more."""


def letter(index: int) -> str:
    """(a), (b), ... (z), (aa)."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("a") + rest) + name
    return f"({name})"


def tick_text(value: float, span: float) -> str:
    """A value on a scale of length `span`, to about a hundredth of it, without needless zeros.

    An end of 0.00018 on a scale up to 0.99998 is 0, and the other end 1. Without a length, four
    digits.
    """
    if span <= 0:
        return f"{value:.4g}".replace("-", MINUS)
    decimals = max(0, 2 - math.ceil(math.log10(span)))
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text.replace("-", MINUS)


def range_text(low: float, high: float) -> str:
    """Both ends, to about a hundredth of the range: 0.00066 of a map that goes up to 1 is 0.00.

    A map of one value is said to be that; so is one whose ends no six decimals tell apart.
    """
    span = high - low
    if span == 0:
        return f"all {low:.4g}".replace("-", MINUS)
    if max(abs(low), abs(high)) < 1e-4:  # gradients may be as small
        return f"{_tiny(low)} to {_tiny(high)}"
    decimals = min(max(2, 2 - math.ceil(math.log10(span))), MOST_DECIMALS)
    ends = f"{low:.{decimals}f}", f"{high:.{decimals}f}"
    text = f"{ends[0]} to {ends[1]}" if ends[0] != ends[1] else f"about {low:.4g}"
    return text.replace("-", MINUS)


def _tiny(value: float) -> str:
    """Two digits with a short exponent: 8.1e−5."""
    digits, _, power = f"{value:.1e}".partition("e")
    return "0" if value == 0 else f"{digits}e{int(power)}".replace("-", MINUS)
