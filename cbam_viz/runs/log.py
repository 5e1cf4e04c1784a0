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
import torch
from torch import Tensor, distributed, nn

from cbam_viz._text import said
from cbam_viz.analysis import of_photos, select
from cbam_viz.attention import Attention
from cbam_viz.errors import NoAttentionError, StoreError
from cbam_viz.gates import capture
from cbam_viz.images import Geometry, Photo
from cbam_viz.models.feed import as_weights
from cbam_viz.runs.aside import set_aside
from cbam_viz.runs.asked import Pixels, check_inputs, check_network, check_others, whole_number
from cbam_viz.runs.numbers import gates_of, numbers_of
from cbam_viz.runs.record import (
    EPOCHS,
    PHOTOS,
    RUN,
    Measured,
    Probe,
    Record,
    Unit,
    lacks_pictures,
    layout_of,
    make_folders,
    misfit,
    probe_of,
    read_record,
    write_epoch,
    write_pictures,
    write_record,
)
from cbam_viz.store.arrow import parquet
from cbam_viz.wrappers import unwrap

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
    network's own precision, without autocast. Of a distributed training the process of rank 0
    writes; the others may call it too, and only run the forward.

    Args:
        model: the network, in DataParallel, DistributedDataParallel, torch.compile, an averaged
            copy (AveragedModel, timm's ModelEmaV3) or not.
        number: the epoch or step, a whole number from 0 on. One that is there is written anew, as
            when a training resumes.
        inputs: (N, C, H, W), the same at every call, as the network takes them. A few are enough:
            each adds about 90 kB an epoch for a ResNet-50.
        run: a new folder, or that of earlier calls. `runs/NAME` is what the app lists.
        pictures: (H, W, 3) of 8 bits each, on which maps are shown; otherwise the inputs are, from
            their lowest value in black to their highest in white.
        names: what to call them; otherwise `probe 1` and so on.
        unit: what `number` counts.
        writer: TensorBoard's `torch.utils.tensorboard.SummaryWriter`, or anything with its
            `add_scalar` and `add_image`: gets mean, spread and saturation of every gate, and the
            maps of the first input.

    Raises:
        CaptureError: arguments that are not as above, or gates that cannot be captured.
        NoAttentionError: the network has no gates that could be logged.
        StoreError: at the first call: the folder cannot be written, or holds other things, or
            pyarrow is not installed. Later: it holds a run of other inputs or gates. That an epoch
            could not be written, as on a full disk, is a warning, and the training goes on.
    """
    number = whole_number(number)
    check_network(model)
    check_inputs(inputs)
    check_others(len(inputs), run, pictures=pictures, names=names, unit=unit, writer=writer)
    network, folder = unwrap(model), Path(run)
    with set_aside(network):
        (fed,) = as_weights(network, (inputs,))
        attention = of_photos(capture(network, fed), len(inputs))
    if not attention.layers:
        reasons = "; ".join(f"{one.module}: {one.reason}" for one in attention.unsupported[:3])
        raise NoAttentionError(f"This network has no gates that could be logged ({reasons}).")
    if not _writes():
        return attention
    digests = [_digest(one) for one in inputs.detach()]
    record = read_record(folder)
    size = (inputs.shape[2], inputs.shape[3])
    if record is None:
        record = _begin(folder, network, attention, _called(names, digests), unit)
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
        if lacks_pictures(folder, record):
            write_pictures(folder, record, _shown(pictures, inputs, record))
        write_epoch(folder, record, number, measured)
    except StoreError as error:
        warnings.warn(f"The gates of {unit} {number} are not logged: {error}", stacklevel=2)
    if writer is not None:
        try:
            _tell(writer, number, measured)
        except Exception as error:  # of the writer's own code and its disk
            warnings.warn(
                f"The gates of {unit} {number} are not in TensorBoard: {said(error)}", stacklevel=2
            )
    return attention


def _writes() -> bool:
    """Whether this process does: all of a distributed training would write the same files."""
    there = distributed.is_available() and distributed.is_initialized()
    return not there or distributed.get_rank() == 0


def _digest(one: Tensor) -> str:
    array = one.cpu().float().contiguous().numpy()
    return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()


def _called(names: Sequence[str] | None, digests: Sequence[str]) -> tuple[Probe, ...]:
    """The inputs, with what to call them and where their pictures lie."""
    called = names or [f"probe {n + 1}" for n in range(len(digests))]
    return tuple(
        probe_of(n, name, digest)
        for n, (name, digest) in enumerate(zip(called, digests, strict=True))
    )


def _shown(pictures: Sequence[Pixels] | None, inputs: Tensor, record: Record) -> list[Photo]:
    """What maps are drawn on."""
    shown = pictures if pictures is not None else [_stretched(one) for one in inputs.detach()]
    return [
        Photo(np.ascontiguousarray(pixels), probe.name, probe.sha256, "array")
        for pixels, probe in zip(shown, record.probes, strict=True)
    ]


def _begin(
    folder: Path, network: nn.Module, attention: Attention, probes: tuple[Probe, ...], unit: Unit
) -> Record:
    """Make the run's folder, with its description."""
    parquet()  # where it is not installed, now is the time to say so
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file. Give the name of a folder for the run.")
    for name in (EPOCHS, PHOTOS):
        inside = folder / name
        if inside.exists() and not (inside.is_dir() and not any(inside.iterdir())):
            raise StoreError(
                f"{inside} is there already and belongs to no run. Give a new or empty folder."
            )
    make_folders(folder)
    record = Record(
        made_by="log",
        unit=unit,
        rule="log",
        model=type(network).__name__,
        probes=probes,
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
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low if high > low else 1)
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
