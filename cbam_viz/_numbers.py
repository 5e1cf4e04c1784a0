"""Numbers as people write them, in the app, on the command line and in figures alike."""

from __future__ import annotations

import math

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """A gate's value, or any other, with as many digits as one can compare."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == 0 or 0.001 <= abs(value) < 1000:
        text = f"{value:.3f}"
    elif 0.0001 <= abs(value) < 0.001:
        text = f"{value:.5f}"
    else:
        digits, _, exponent = f"{value:.1e}".partition("e")
        text = f"{digits} × 10{str(int(exponent)).translate(RAISED)}"
    return text.replace("-", "−")


def file_size(count: int) -> str:
    """So many bytes, in units of a thousand: `15 kB`, `22.4 MB`, `51.0 GB`."""
    if count < 1000:
        return f"{count} bytes" if count != 1 else "1 byte"
    if count < 999_500:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.1f} MB" if count < 999_950_000 else f"{count / 1e9:,.1f} GB"
