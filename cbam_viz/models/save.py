"""A network with what is known of it as one safetensors file, to be read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from cbam_viz._suffixes import DESCRIBED
from cbam_viz._text import shortened
from cbam_viz._whole import whole
from cbam_viz.errors import CheckpointError
from cbam_viz.models.loaded import LoadedModel
from cbam_viz.models.metadata import KEY, SCHEMA
from cbam_viz.wrappers import unwrap


def save_model(loaded: LoadedModel, target: str | Path, *, overwrite: bool = False) -> Path:
    """Write weights, input and class names of a network to a .safetensors file; return its path.

    What was assumed of the input is not written: it would pass for stated afterwards. The network's
    own code makes it again, `--model FILE.py:FACTORY --checkpoint FILE`; one that `load_model`
    loaded needs none.

    Raises:
        CheckpointError: the file exists, has another ending or cannot be written.
    """
    target = Path(target)
    if target.suffix.lower() != DESCRIBED:
        raise CheckpointError(f"The target must end in .safetensors, not {target.name!r}.")
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target} exists. Name another target, or overwrite it.")
    own = {
        "schema": SCHEMA,
        "title": loaded.name,
        "classes": list(loaded.classes or ()),
        "pretrained_cfg": loaded.spec.to_pretrained_cfg(),
    }
    write_described(tensors_of(loaded.model), {**loaded.metadata, **own}, target)
    return target


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of a network's parameters and buffers, as they can be written."""
    return {
        name: value.detach().cpu().contiguous().clone()
        for name, value in unwrap(model).state_dict().items()
    }


def write_described(
    tensors: Mapping[str, Tensor], described: Mapping[str, Any], target: Path
) -> None:
    """Write beside the target first, so that a failure leaves no half file."""
    about = {KEY: json.dumps(dict(described), ensure_ascii=False)}
    try:
        with whole(target, force=True) as part:
            save_file(dict(tensors), str(part), about)
    except Exception as error:
        raise CheckpointError(
            f"{target} cannot be written: {shortened(str(error), 200)}."
        ) from error
