"""A checkpoint for a network that the user's own Python code built."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

from torch import nn

from cbam_viz.models.fit import check_values, type_notes
from cbam_viz.models.infer import is_counter
from cbam_viz.models.loaded import (
    LoadedModel,
    LoadReport,
    config_of,
    set_to_eval,
    wrap_model,
)
from cbam_viz.models.metadata import parse_metadata
from cbam_viz.models.placing import check_places, under_own_names
from cbam_viz.models.quantised import refuse_quantised
from cbam_viz.models.scaled import block_size_of, multiplied_out
from cbam_viz.models.shards import checkpoint_path, read_checkpoint
from cbam_viz.models.state import find_weights
from cbam_viz.models.stated import read_config, read_stated
from cbam_viz.wrappers import undriven


def load_own_model(
    module: nn.Module,
    checkpoint: str | Path | bytes,
    *,
    may_miss: Collection[str] = (),
    name: str | None = None,
) -> LoadedModel:
    """Load a checkpoint into `module` (changing it), in eval mode, and describe the result.

    Wrappers and prefixes in the file are removed as by `load_model`; names and shapes must
    otherwise be the network's own. Nothing in the file is run.

    Args:
        module: the network, on which the weights are set.
        checkpoint: a .safetensors, .pth or .pt file or its content, an index of shards or a folder.
        may_miss: dotted names of tensors that the file need not have: those of the attention, which
            `cbam_viz.gates.attention_tensors` finds. They keep the values that the code gave them.
        name: what to call it; the name of its class otherwise.

    Raises:
        CheckpointError: the file cannot be read safely, has no value for some other tensor, one of
            another shape, or more of them for a part of the network than the part has.
    """
    module = undriven(module)
    source = Path(checkpoint) if isinstance(checkpoint, str) else checkpoint
    if isinstance(source, Path):
        source = checkpoint_path(source)
    file = read_checkpoint(source)
    wanted = module.state_dict()
    stripped = find_weights(file.content)
    weights = find_weights(file.content, prefixes=False)
    given = under_own_names(weights.tensors, stripped.tensors, wanted)
    if given is not weights.tensors:
        weights = stripped
    config = read_config(source)
    given, told = multiplied_out(given, wanted, block_size_of(config.content))
    refuse_quantised(given, wanted)
    check_places(module, given, wanted, may_miss)
    fitting = {key: value for key, value in given.items() if key in wanted}
    check_values(module, fitting)
    module.load_state_dict(fitting, strict=False)
    described = wrap_model(set_to_eval(module), name=name)
    stated = read_stated(
        module,
        file.content,
        parse_metadata(file.metadata),
        config,
        architecture=config_of(module).get("architecture"),
    )
    report = LoadReport(
        matched=tuple(key for key in wanted if key in fitting),
        missing=tuple(key for key in wanted if key not in given and not is_counter(key)),
        unexpected=tuple(key for key in given if key not in wanted),
        notes=(*file.notes, *weights.notes, *told, *stated.notes, *type_notes(fitting)),
    )
    return dataclasses.replace(
        described,
        report=report,
        sha256=file.sha256,
        spec=stated.spec,
        classes=stated.classes or described.classes,
    )
