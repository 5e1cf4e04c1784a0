"""A checkpoint for a network that the user's own Python code built."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor, nn

from cbam_viz._text import few
from cbam_viz.errors import CheckpointError
from cbam_viz.models.files import read_weights
from cbam_viz.models.fit import check_values, type_notes
from cbam_viz.models.infer import is_counter
from cbam_viz.models.loaded import LoadedModel, LoadReport, wrap_model
from cbam_viz.models.state import find_weights


def load_own_model(
    module: nn.Module,
    checkpoint: str | Path | bytes,
    *,
    allow_missing: bool = False,
    name: str | None = None,
) -> LoadedModel:
    """Load a checkpoint into `module` (changing it), in eval mode, and describe the result.

    Wrappers and prefixes in the file are removed as by `load_model`; names and shapes must
    otherwise be the network's own. Nothing in the file is run.

    Raises
    ------
    CheckpointError
        The file cannot be read safely, or has no value for some tensor (unless `allow_missing`),
        or one of another shape.
    """
    source = Path(checkpoint) if isinstance(checkpoint, str) else checkpoint
    file = read_weights(source)
    weights = find_weights(file.content)
    wanted = module.state_dict()
    given = _under_own_names(weights.tensors, wanted)
    shapes = [
        f"{key} ({list(given[key].shape)} instead of {list(wanted[key].shape)})"
        for key in wanted.keys() & given.keys()
        if wanted[key].shape != given[key].shape
    ]
    missing = tuple(key for key in wanted if key not in given and not is_counter(key))
    if shapes:
        raise CheckpointError(f"The checkpoint is of another network: {few(sorted(shapes))}.")
    if missing and not allow_missing:
        raise CheckpointError(
            f"The checkpoint has no values for {len(missing)} of the network's tensors: "
            f"{few(missing)}. Load the checkpoint that belongs to this code."
        )
    fitting = {key: value for key, value in given.items() if key in wanted}
    check_values(module, fitting)
    module.load_state_dict(fitting, strict=False)
    report = LoadReport(
        matched=tuple(key for key in wanted if key in fitting),
        missing=missing,
        unexpected=tuple(key for key in given if key not in wanted),
        notes=(*weights.notes, *type_notes(fitting)),
    )
    described = wrap_model(module.eval(), name=name)
    return dataclasses.replace(described, report=report, sha256=file.sha256)


def _under_own_names(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put back a prefix such as `backbone.` where it is part of the network's own names."""
    prefixes = sorted({key.partition(".")[0] + "." for key in wanted})
    names = {}
    for key in given:
        whole = [prefix + key for prefix in prefixes if prefix + key in wanted]
        names[key] = whole[0] if key not in wanted and whole else key
    return {names[key]: value for key, value in given.items()}
