"""How gates are rounded in a store: to the bits of float16, to steps in whole numbers, or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Precision = Literal["float16", "float32", "int16"]

STEPS = 2048
"""In 1, of whole numbers: no gate changes by more than half a step, which is what rounding to
float16 may change one between 1/2 and 1 by. The numbers have one exponent, so that their bytes are
coded in a tenth less."""
LEAST, MOST = -(2**15) / STEPS, (2**15 - 1) / STEPS
"""What 16 bits hold of them."""


def to_half_precision(values: Array) -> Array:
    """Round float32 to the eleven significant bits of float16, ties to even; float32 again.

    Equal to float16 where that has all its bits (6.2e-5 to 65,504); beyond, nothing overflows and
    small values keep their bits. A value changes by 1/2048 of itself at most, a gate between 1/2
    and 1 by 2.5e-4.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))) & np.uint32(
        0xFFFFE000
    )
    finite = np.isfinite(values)
    return np.where(finite, rounded.view(np.float32), values).astype(np.float32)


def to_steps(values: Array) -> npt.NDArray[np.int16]:
    """Return the nearest whole numbers of steps, ties to even; all values are in range."""
    steps: npt.NDArray[np.int16] = np.rint(values * np.float32(STEPS)).astype(np.int16)
    return steps  # the product is exact, of a power of two


def from_steps(steps: npt.NDArray[np.int16]) -> Array:
    """Return the values that they stand for."""
    return steps.astype(np.float32) / np.float32(STEPS)


def beyond_steps(gates: Mapping[str, npt.NDArray[Any]]) -> str:
    """Say which gate whole numbers cannot hold, as they are no infinities; empty if they can."""
    for name, gate in gates.items():
        beyond = gate[~((gate >= LEAST) & (gate <= MOST))]  # not a number is beyond, too
        if beyond.size:
            return (
                f"{name} has the value {beyond.flat[0]:g}, and 16-bit whole numbers hold gates "
                f"from {LEAST:g} to {MOST:g}: take the precision float16"
            )
    return ""
