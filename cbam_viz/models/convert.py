"""`convert_checkpoint`: any readable checkpoint as a safetensors file that describes itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cbam_viz._suffixes import DESCRIBED, bare_name
from cbam_viz.errors import CheckpointError
from cbam_viz.models.attention_layer import AttentionLike
from cbam_viz.models.infer import attention_layers, inserted_at, shapes_of
from cbam_viz.models.load import load_model
from cbam_viz.models.loaded import LoadedModel, LoadReport, config_of
from cbam_viz.models.metadata import SCHEMA
from cbam_viz.models.save import tensors_of, write_described


@dataclass(frozen=True)
class Conversion:
    """What was written where."""

    path: Path
    architecture: str
    report: LoadReport
    """How the source fitted timm's network."""


def convert_checkpoint(
    source: str | Path,
    target: str | Path | None = None,
    *,
    architecture: str | None = None,
    attention: AttentionLike | None = None,
    title: str | None = None,
    classes: list[str] | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Convert a checkpoint, the CBAM authors' for instance, to timm's names as safetensors.

    The file carries the description by which `load_model` and the app open it without further
    options. Nothing in `source` is executed.

    Args:
        source: a .safetensors, .pth or .pt file in a layout that `load_model` reads.
        target: where to write; beside the source with the ending .safetensors if not given.
        architecture, attention: as for `load_model`; inferred if not given.
        title, classes: for the description: what to call the network, and its class names in order.
        overwrite: replace an existing file.

    Raises:
        CheckpointError: the source cannot be read or converted exactly, or the target cannot be
            written.
    """
    source = Path(source)
    target = Path(target) if target is not None else source.with_name(bare_name(source) + DESCRIBED)
    if target.suffix.lower() != DESCRIBED:
        raise CheckpointError(f"The target must end in .safetensors, not {target.name!r}.")
    if target.exists() and (not overwrite or target.samefile(source)):
        raise CheckpointError(
            f"{target} exists. Name another target"
            + (", not the source." if target.samefile(source) else ", or overwrite it.")
        )
    loaded = load_model(source, architecture=architecture, attention=attention)
    if not config_of(loaded.model).get("architecture"):
        raise CheckpointError(
            f"{source.name} is no network of timm's, so there is nothing to convert: cbam-viz "
            "opens it as it is."
        )
    count = getattr(loaded.model, "num_classes", None)
    if classes is not None and len(classes) != count:
        raise CheckpointError(f"{len(classes)} class names were given for {count} classes.")
    tensors = tensors_of(loaded.model)
    described = {**loaded.metadata, **_description(loaded, tensors)}
    if title is not None:
        described["title"] = title
    if classes is not None:
        described["classes"] = list(classes)
    write_described(tensors, described, target)
    assert loaded.report is not None
    return Conversion(target, described["architecture"], loaded.report)


def _description(loaded: LoadedModel, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Describe the network as it is; what the source said of its training is kept elsewhere."""
    layers = attention_layers(shapes_of(tensors))
    places = inserted_at(layers)
    in_blocks = [layer for name, layer in layers.items() if name not in _children(places)]
    model: Any = loaded.model
    config = dict(model.pretrained_cfg)
    known = loaded.metadata.get("architecture")
    return {
        "schema": SCHEMA,
        "title": loaded.name,
        "architecture": known or config["architecture"],
        "attention": in_blocks[0].kind if in_blocks else None,
        "arguments": loaded.metadata.get("arguments") or {},
        "inserted_cbam": {"at": places} if places else None,
        "num_classes": model.num_classes,
        "classes": list(loaded.classes or ()),
        "pretrained_cfg": loaded.spec.to_pretrained_cfg(),
        "default": False,
    }


def _children(places: list[str]) -> set[str]:
    return {f"{place}.cbam" for place in places}
