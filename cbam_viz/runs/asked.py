"""What a training asks `log_gates` for, checked before anything runs or is written."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cbam_viz.errors import CaptureError
from cbam_viz.runs.record import MOST_PROBES, Unit

Pixels = npt.NDArray[np.uint8]
LARGEST = 2**53
"""Of a step: what JSON, Parquet and the app's charts have exactly."""


def check_network(model: object) -> None:
    """Raise CaptureError for what is no network, such as a `state_dict` or an object around one."""
    if isinstance(model, nn.Module):
        return
    inside = next(
        (name for name in ("ema", "module", "model", "net", "network")
         if isinstance(getattr(model, name, None), nn.Module)),
        None,
    )  # fmt: skip
    advice = f"Give the network in it, its .{inside}" if inside else "Give the network itself"
    raise CaptureError(
        f"log_gates takes a torch.nn.Module, not {type(model).__name__}. {advice}: "
        "log_gates(model, epoch, probes, folder)."
    )


def whole_number(number: Any) -> int:
    """An epoch or a step as a plain int, also of NumPy's and of a tensor. Raises CaptureError."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    try:
        whole = operator.index(number)
    except (TypeError, ValueError, RuntimeError):
        whole = -1
    if isinstance(number, (bool, np.bool_)) or not 0 <= whole <= LARGEST:
        raise CaptureError(
            f"An epoch or a step is a whole number from 0 on, to {LARGEST:,}, not {number!r}."
        )
    return whole


def check_inputs(inputs: object) -> None:
    """Raise CaptureError unless they are a batch of numbers."""
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or not inputs.numel():
        shape = tuple(getattr(inputs, "shape", ()))
        given = f"{type(inputs).__name__} of shape {shape}" if shape else type(inputs).__name__
        raise CaptureError(
            f"log_gates takes a batch of inputs, a tensor (N, C, H, W), not {given}."
        )
    if len(inputs) > MOST_PROBES:
        raise CaptureError(
            f"{len(inputs)} inputs are more than a run is watched on; give at most {MOST_PROBES}."
        )
    if inputs.is_complex() or inputs.is_quantized or inputs.layout != torch.strided:
        raise CaptureError("The inputs of log_gates are a plain tensor of real numbers.")
    if inputs.is_meta:
        raise CaptureError("The inputs are on the meta device, without values. Give real photos.")
    if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        raise CaptureError(
            "The inputs hold values that are NaN or infinite, on which no gate says anything. Look "
            "at how they are made."
        )


def check_others(
    count: int,
    folder: str | Path,
    *,
    pictures: Sequence[Pixels] | None,
    names: Sequence[str] | None,
    unit: str,
    writer: object,
) -> None:
    """Raise CaptureError for what a run could not be written, or read again, with."""
    if unit not in get_args(Unit):
        raise CaptureError(f"A run counts by 'epoch' or by 'step', not by {unit!r}.")
    if not str(folder):
        raise CaptureError("log_gates needs the name of a folder for the run, as runs/mine.")
    if isinstance(names, str) or not all(isinstance(one, str) for one in names or ()):
        raise CaptureError("Names of inputs are a list of texts, one for each.")
    for what, given in (("pictures", pictures), ("names", names)):
        if given is not None and len(given) != count:
            raise CaptureError(f"{len(given)} {what} do not go with {count} inputs.")
    for picture in () if pictures is None else pictures:
        if not (isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3
                and picture.dtype == np.uint8 and picture.size):  # fmt: skip
            raise CaptureError(
                "A picture of an input is a NumPy array (H, W, 3) of 8-bit numbers (uint8)."
            )
    wanted = ("add_scalar", "add_image")
    if writer is not None and not all(callable(getattr(writer, one, None)) for one in wanted):
        raise CaptureError(
            "writer is TensorBoard's SummaryWriter, or has its add_scalar and add_image; "
            f"{type(writer).__name__} has not."
        )
