"""What stands beside weights on how timm built their network: its name and its arguments.

Tensors tell the network's kind and sizes, and not all of it: padding, strides and activations have
none. timm's training script keeps its `args` in the checkpoint, `timm.save_for_hf` writes
`model_args` into `config.json`. Both are a stranger's word: the name must be one that the tensors
fit, and arguments are those that `schema.Arguments` lets a file set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from timm import is_model

from cbam_viz._schema import MismatchError, checked
from cbam_viz._text import few
from cbam_viz.errors import CheckpointError
from cbam_viz.models.records import mapping_of
from cbam_viz.models.schema import Arguments

_BY_TENSORS = frozenset(
    {
        "attn_layer", "attn", "se_layer", "in_chans", "num_classes", "pretrained", "scriptable",
        "checkpoint_path", "drop_rate", "drop_path_rate", "drop_block_rate", "bn_momentum",
    }
)  # fmt: skip
"""Arguments that the tensors themselves decide, or that change nothing in eval mode."""


@dataclass(frozen=True)
class Build:
    """How a network was built, as far as it is stated."""

    architecture: str | None = None
    """timm's name, without a tag; only one that timm has."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    """Who says so."""


def build_of_training(content: Any) -> Build:
    """What timm's training script keeps of it, in `args` and `arch` of a checkpoint."""
    if not isinstance(content, Mapping):
        return Build()
    args = mapping_of(content.get("args")) or {}
    name = _known(args.get("model")) or _known(content.get("arch"))
    given = dict(mapping_of(args.get("model_kwargs")) or {})
    if args.get("gp"):
        given.setdefault("global_pool", args["gp"])
    if args.get("bn_eps") is not None:
        given.setdefault("bn_eps", args["bn_eps"])
    return Build(name, given, "the file's 'args'")


def build_of_config(architecture: str | None, content: Mapping[str, Any]) -> Build:
    """What a `config.json` says of it."""
    given = mapping_of(content.get("model_args")) or {}
    return Build(_known(architecture), given, "config.json beside the file")


def _known(name: Any) -> str | None:
    if not isinstance(name, str) or not 0 < len(name) < 100:
        return None
    bare = name.partition(".")[0]
    return bare if is_model(bare) else None


def arguments_of(build: Build, architecture: str, *, insisted: bool) -> tuple[dict[str, Any], str]:
    """Return the arguments to build `architecture` with, and a note on what was not used.

    Raises:
        CheckpointError: an argument that a file may not set, unless the user named the architecture
            (`insisted`).
    """
    if build.architecture != architecture or not build.arguments:
        return {}, ""
    used, odd = {}, []
    for name, value in _told_by_tensors_left_out(build.arguments).items():
        try:
            checked({name: value}, Arguments)
        except MismatchError:
            odd.append(str(name))
        else:
            used[name] = value
    if odd and not insisted:
        raise CheckpointError(
            f"By {build.where}, {architecture} was built with {few(odd)}, which a file may not "
            "set. Without that it would be another network: build it yourself, with "
            "load_model(..., architecture=...) and that argument, or --model FILE.py:FACTORY."
        )
    return used, f"{few(odd)} in {build.where}: not used." if odd else ""


def _told_by_tensors_left_out(given: Mapping[Any, Any]) -> dict[Any, Any]:
    kept = {key: value for key, value in given.items() if not _is_told(key, value)}
    block = mapping_of(kept.get("block_args"))
    if block is not None:
        inside = {key: value for key, value in block.items() if not _is_told(key, value)}
        kept = {**kept, "block_args": inside or None}
    return {key: value for key, value in kept.items() if value is not None}


def _is_told(key: Any, value: Any) -> bool:
    return value is None or key in _BY_TENSORS
