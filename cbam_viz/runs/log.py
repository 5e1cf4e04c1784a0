"""The callback: gates of fixed inputs, written while one's own training runs.

    from cbam_viz import log_gates

    for epoch in range(1, epochs + 1):
        train_one_epoch(model)
        log_gates(model, epoch, probes, "runs/mine")

It costs one forward of the probes in eval mode; `python -m benchmarks runs` measures it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cbam_viz.analysis import of_photos, select
from cbam_viz.attention import Attention
from cbam_viz.errors import CaptureError, NoAttentionError, StoreError
from cbam_viz.gates import capture
from cbam_viz.images import Geometry, Photo
from cbam_viz.models.feed import as_weights
from cbam_viz.runs.aside import set_aside
from cbam_viz.runs.numbers import gates_of, numbers_of
from cbam_viz.runs.record import (
    MOST_PROBES,
    RUN,
    Measured,
    Probe,
    Record,
    Unit,
    layout_of,
    make_folders,
    misfit,
    read_record,
    write_epoch,
    write_pictures,
    write_record,
)
from cbam_viz.wrappers import unwrap

Pixels = npt.NDArray[np.uint8]
TOLD = ("mean", "spread", "saturated")
"""Numbers of each gate that go to TensorBoard."""


def log_gates(
    model: nn.Module,
    number: int,
    inputs: Tensor,
    run: str | Path,
    *,
    pictures: Sequence[Pixels] | None = None,
    names: Sequence[str] | None = None,
    unit: Unit = "epoch",
    writer: Any = None,
) -> Attention:
    """Write the gates of `inputs` at this epoch, or step, to the folder `run`; return them.

    Nothing of the training changes: modes, BatchNorm's statistics, random numbers, gradients and
    hooks are afterwards as they were, so that a training is the same bit for bit with and without
    it. Hooks of one's own run as in any forward. The gates are those of eval mode, in the
    network's own precision, without autocast. Of a distributed training, call it in one process.

    Parameters
    ----------
    model
        The network, in DataParallel, DistributedDataParallel or torch.compile or not.
    number
        The epoch or step, from 0 on. One that is there is written anew, as when a training resumes.
    inputs
        (N, C, H, W), the same at every call, as the network takes them. A few are enough: each
        adds about 90 kB an epoch for a ResNet-50.
    run
        A new folder, or that of earlier calls. `runs/NAME` is what the app lists.
    pictures
        (H, W, 3) of 8 bits each, on which maps are shown; otherwise the inputs are, from their
        lowest value in black to their highest in white.
    names
        What to call them; otherwise `probe 1` and so on.
    unit
        What `number` counts.
    writer
        TensorBoard's `torch.utils.tensorboard.SummaryWriter`, or anything with its `add_scalar` and
        `add_image`: gets mean, spread and saturation of every gate, and the maps of the first
        input.

    Raises
    ------
    CaptureError
        Inputs that are no such tensor, or gates that cannot be captured.
    NoAttentionError
        The network has no gates that could be logged.
    StoreError
        At the first call: the folder cannot be written. Later: it holds a run of other inputs or
        gates. That an epoch could not be written, as on a full disk, is a warning, and the training
        goes on.
    """
    network, folder = unwrap(model), Path(run)
    _check(number, inputs, pictures, names)
    with set_aside(network):
        (fed,) = as_weights(network, (inputs,))
        attention = of_photos(capture(network, fed), len(inputs))
    if not attention.layers:
        reasons = "; ".join(f"{one.module}: {one.reason}" for one in attention.unsupported[:3])
        raise NoAttentionError(f"This network has no gates that could be logged ({reasons}).")
    digests = [_digest(one) for one in inputs.detach()]
    record = read_record(folder)
    size = (inputs.shape[2], inputs.shape[3])
    if record is None:
        called = names or [f"probe {n + 1}" for n in range(len(inputs))]
        shown = pictures if pictures is not None else [_stretched(one) for one in inputs.detach()]
        photos = [
            Photo(np.ascontiguousarray(pixels), name, digest, "array")
            for pixels, name, digest in zip(shown, called, digests, strict=True)
        ]
        record = _begin(folder, network, attention, photos, unit)
    else:
        _check_same(folder, record, digests, unit)
    reason = misfit(record.layout, attention)
    if reason:
        raise StoreError(
            f"{folder} holds the run of another network: {reason}. Give another folder."
        )
    ones = tuple(select(attention, n) for n in range(len(inputs)))
    measured = Measured(ones, tuple(replace(Geometry.of_input(size), view="whole") for _ in ones))
    try:
        write_epoch(folder, record, number, measured)
    except StoreError as error:
        warnings.warn(f"The gates of {unit} {number} are not logged: {error}", stacklevel=2)
    if writer is not None:
        _tell(writer, number, measured)
    return attention


def _check(
    number: int,
    inputs: Tensor,
    pictures: Sequence[Pixels] | None,
    names: Sequence[str] | None,
) -> None:
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or not len(inputs):
        shape = tuple(getattr(inputs, "shape", ())) or type(inputs).__name__
        raise CaptureError(f"log_gates takes a batch of inputs, (N, C, H, W), not {shape}.")
    if len(inputs) > MOST_PROBES:
        raise CaptureError(
            f"{len(inputs)} inputs are more than a run is watched on; give at most {MOST_PROBES}."
        )
    if number < 0 or number != int(number):
        raise CaptureError(f"An epoch or a step is a whole number from 0 on, not {number!r}.")
    for what, given in (("pictures", pictures), ("names", names)):
        if given is not None and len(given) != len(inputs):
            raise CaptureError(f"{len(given)} {what} do not go with {len(inputs)} inputs.")
    for picture in pictures or ():
        if not (isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3
                and picture.dtype == np.uint8):  # fmt: skip
            raise CaptureError("A picture of an input is an array (H, W, 3) of 8-bit numbers.")


def _digest(one: Tensor) -> str:
    array = one.cpu().float().contiguous().numpy()
    return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()


def _begin(
    folder: Path, network: nn.Module, attention: Attention, photos: Sequence[Photo], unit: Unit
) -> Record:
    """Make the run's folder, with its description and pictures."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file. Give the name of a folder for the run.")
    make_folders(folder)
    record = Record(
        made_by="log",
        unit=unit,
        rule="log",
        model=type(network).__name__,
        probes=tuple(
            Probe(photo.name, photo.sha256, file)
            for photo, file in zip(photos, write_pictures(folder, photos), strict=True)
        ),
        layout=layout_of(attention),
        view="whole",
        pipeline="as the training gave it",
    )
    write_record(folder, record)
    return record


def _check_same(folder: Path, record: Record, digests: Sequence[str], unit: Unit) -> None:
    known = [one.sha256 for one in record.probes]
    differing = [
        what
        for what, same in (
            ("it was measured from checkpoints", record.made_by == "log"),
            (f"its numbers are {record.unit}s", record.unit == unit),
            ("its inputs are others", known == list(digests)),
        )
        if not same
    ]
    if differing:
        raise StoreError(
            f"{folder / RUN} is of another run: {', '.join(differing)}. Log the same inputs at "
            "every call, or give another folder."
        )


def _stretched(one: Tensor) -> Pixels:
    """An input as a picture: its first three channels, or the first, from black to white."""
    values = one.cpu().float().numpy()
    values = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, 0)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scaled = (np.nan_to_num(values) - low) / (high - low if high > low else 1)
    pixels = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _tell(writer: Any, number: int, measured: Measured) -> None:
    gates = gates_of(measured.attentions, measured.geometries)
    for one in numbers_of(iter([(number, gates)]), iter([(number, gates)])):
        for name in TOLD:
            writer.add_scalar(f"gates/{one.layer}/{one.part}/{name}", getattr(one, name), number)
    for name, layer in measured.attentions[0].items():
        if layer.spatial is not None:
            picture = torch.nan_to_num(layer.spatial[:1]).clamp(0, 1)
            writer.add_image(f"gates/{name}/map", picture, number)
