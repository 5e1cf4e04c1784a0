"""The sidebar's controls for what the network is fed; closed until somebody needs them.

The texts are read as on the command line (`cbam_viz.images.options`). They are of this session and
in no link.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from cbam_viz.errors import CbamVizError, ModelError
from cbam_viz.images import InputOptions
from cbam_viz.images.options import FITS, read_fit, read_size, read_values, read_window
from cbam_viz.images.spec import CROP_PCTS, INTERPOLATIONS, MAX_CHANNELS, RANGES
from cbam_viz.models.names import read_names_text
from cbam_viz.ui import words
from cbam_viz.ui.request import Request

AS_IT_IS = "as the network has it"
WINDOW = "input_window"
MAX_PIXELS = 1024**2
"""Of an input; what a checkpoint may ask for too."""


def asked(request: Request) -> Request:
    """The request with the input that this visitor asks for; what cannot be read is said."""
    with st.expander("Input", icon=":material/tune:"):
        given = {
            "size": _text("Size", "input_size", _read_size, "224, or height x width: 480x640"),
            "fit": _text("Fit", "input_fit", read_fit, ", ".join(FITS)),
            "crop_pct": _number(
                "Crop share",
                "input_crop_pct",
                *CROP_PCTS,
                "Side of the input over that of the photo after resizing, such as 0.875.",
            ),
            "interpolation": _choice("Interpolation", "input_interpolation", INTERPOLATIONS),
            "mean": _text("Mean", "input_mean", read_values, "0.485,0.456,0.406, or none"),
            "std": _text("Std", "input_std", read_values, "0.229,0.224,0.225, or none"),
            "range": _choice("Values of black and white", "input_range", RANGES),
            "channels": _number(
                "Channels", "input_channels", 1, MAX_CHANNELS, "1 shows it photos in grey."
            ),
            "window": _text("Window of scans", WINDOW, read_window, "black,white: 0,4095"),
            "bgr": st.checkbox("Blue first (BGR)", key="input_bgr"),
        }
        classes = _classes()
    crop_mode, fill = given.pop("fit") or (None, None)
    options = InputOptions(**given, crop_mode=crop_mode, fill=fill)
    return replace(request, input=options or None, classes=classes)


def window() -> tuple[float, float] | None:
    """The values that are black and white in scans, as this visitor says; None if that is no two.

    Scans that say nothing of it themselves cannot be read without.
    """
    text = str(st.session_state.get(WINDOW) or "").strip()
    try:
        low, high = read_window(text) if text else (0.0, 0.0)
    except CbamVizError:  # which the panel says
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _text(label: str, key: str, read: Callable[[str], Any], example: str) -> Any:
    text = st.text_input(label, key=key, placeholder=AS_IT_IS, help=f"Such as {example}.")
    if not text.strip():
        return None
    try:
        return read(text.strip())
    except CbamVizError as error:
        st.error(words.plain(str(error)))
        return None


def _read_size(text: str) -> tuple[int, int]:
    """A size that a server of several visitors can bear."""
    height, width = read_size(text)
    if height * width > MAX_PIXELS:
        raise ModelError(f"The app takes inputs of up to {MAX_PIXELS:,} pixels, such as 1024.")
    return height, width


def _choice(label: str, key: str, options: Sequence[str]) -> Any:
    return st.selectbox(label, options, index=None, key=key, placeholder=AS_IT_IS)


def _number(label: str, key: str, least: float, most: float, says: str) -> Any:
    return st.number_input(
        label,
        min_value=least,
        max_value=most,
        value=None,
        step=1 if isinstance(least, int) else 0.005,
        format=None if isinstance(least, int) else "%g",
        key=key,
        placeholder=AS_IT_IS,
        help=says,
    )


def _classes() -> tuple[str, ...] | None:
    """Names of the network's classes, if this visitor states them."""
    text = st.text_area(
        "Class names",
        key="input_classes",
        height=80,
        placeholder=AS_IT_IS,
        help="One on each line in the order of the network's outputs, or JSON.",
    )
    if not text.strip():
        return None
    try:
        return read_names_text(text, "What you have written")
    except CbamVizError as error:
        st.error(words.plain(str(error)))
        return None
