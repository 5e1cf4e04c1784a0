"""A checkpoint of ultralytics as a network that is ready to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError, ModelError
from cbam_viz.models.files import WeightFile
from cbam_viz.models.fit import check_values
from cbam_viz.models.loaded import LoadedModel, LoadReport, display_name, frozen
from cbam_viz.models.names import names_of_network
from cbam_viz.models.records import Record
from cbam_viz.models.tree import is_module
from cbam_viz.models.yolo.feeding import feeding_of, task_of
from cbam_viz.models.yolo.package import ultralytics_module
from cbam_viz.models.yolo.rebuild import Rebuilder
from cbam_viz.models.yolo.trial import refuse_costly_forward

_PLACES = ("ema", "model")
"""Where ultralytics keeps the network: averaged weights while it trains, then under `model`."""


def network_in(content: Any) -> tuple[str, Record] | None:
    """Return the network of ultralytics that a file holds, and under what; None if it has none."""
    places = [("", content)]
    if isinstance(content, dict):
        places = [(name, content.get(name)) for name in _PLACES]
    for place, value in places:
        if is_module(value) and value.name.startswith("ultralytics."):
            return place, value
    return None


def load_ultralytics(
    file: WeightFile, source: Path | bytes, *, name: str | None = None
) -> LoadedModel:
    """Rebuild the network of a file for which `network_in` has found one.

    Raises:
        CheckpointError: ultralytics is not installed, the network has classes that are not allowed,
            a forward would cost too much or fail, or its weights are no numbers.
    """
    found = network_in(file.content)
    if found is None:
        raise CheckpointError("The file holds no network of ultralytics.")
    place, record = found
    said = file.content.get("train_args") if isinstance(file.content, dict) else None
    trial = Rebuilder(meta=True).network(record)
    try:
        spec = feeding_of(trial, said)
    except ModelError as error:
        raise CheckpointError(f"The network's input cannot be told: {error}") from error
    refuse_costly_forward(trial, spec.size, spec.channels)
    model = Rebuilder().network(record)
    state = model.state_dict()
    check_values(model, state)
    _freeze(model)
    vars(model)["args"] = {"imgsz": max(spec.size)}  # for whoever asks the network alone
    named = names_of_network(model)
    return LoadedModel(
        model=model,
        name=name or display_name(source, {}, f"YOLO ({task_of(model)})"),
        spec=spec,
        classes=named.names,
        report=LoadReport(matched=tuple(state), notes=(*_notes(file.content, place), *named.notes)),
        sha256=file.sha256,
        metadata=frozen({}),
    )


def _freeze(model: nn.Module) -> None:
    """Let the network be what `predict` looks at: nothing is trained."""
    for weight in model.parameters():
        weight.requires_grad_(False)


def _notes(content: Any, place: str) -> list[str]:
    installed = getattr(ultralytics_module("nn.tasks"), "__version__", None)
    installed = installed or ultralytics_module("utils").__version__
    written = content.get("version") if isinstance(content, dict) else None
    of = f", written by {shortened(written, 20)}" if isinstance(written, str) else ""
    where = f" under {place!r}" if place else ""
    notes = [
        f"The network was rebuilt from its modules in the file{where}{of}; their code is that of "
        f"the installed ultralytics {installed}, and nothing of the file was run."
    ]
    if place == "ema":
        notes.append("These are the averaged (EMA) weights that the file holds.")
    return notes
