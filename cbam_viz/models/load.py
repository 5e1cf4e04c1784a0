"""`load_model`: a checkpoint of any origin, fitted to a network, with a report on how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cbam_viz.errors import CheckpointError, ModelError
from cbam_viz.models.attention_layer import AttentionLike
from cbam_viz.models.build import build_model
from cbam_viz.models.families import known_architecture
from cbam_viz.models.files import read_weights
from cbam_viz.models.fit import Fit, check_values, fit_attention, fit_tensors, type_notes
from cbam_viz.models.infer import (
    attention_layers,
    classifier_size,
    infer_architecture,
    inserted_at,
    shapes_of,
)
from cbam_viz.models.insert import insert_cbam
from cbam_viz.models.layouts import translate
from cbam_viz.models.loaded import (
    LoadedModel,
    LoadReport,
    default_classes,
    display_name,
    frozen,
    input_spec,
)
from cbam_viz.models.metadata import parse_metadata
from cbam_viz.models.state import Weights, find_weights, shared_prefix, without_prefix

_MOST_PREFIXES = 3

PLAIN = "none"
"""As `attention`: the network as timm defines it."""


@dataclass(frozen=True)
class Plan:
    """What to build for a checkpoint."""

    architecture: str
    attention: AttentionLike | None
    num_classes: int | None
    inserted: tuple[str, ...]
    arguments: Mapping[str, Any]
    meant_plain: bool
    """The user or the file says that the network has no CBAM."""


def load_model(
    checkpoint: str | Path | bytes | None = None,
    *,
    architecture: str | None = None,
    attention: AttentionLike | None = None,
    num_classes: int | None = None,
    allow_missing_attention: bool = False,
    name: str | None = None,
    folder: Path | None = None,
    apart: bool = False,
    **kwargs: Any,
) -> LoadedModel:
    """Load a network from a checkpoint file, or from its bytes, without running what is in it.

    What is not said is taken from the file's own description, else inferred from the tensors:
    architecture, class count, kind of attention, reduction, kernel size, biases, inserted layers.

    Parameters
    ----------
    checkpoint
        A .safetensors, .pth or .pt file or its content. None builds an untrained network.
    architecture
        A timm name.
    attention
        As for `create_model`; None infers it, `"none"` means the network as timm defines it.
    num_classes
        Only for a file that has no classifier; a classifier in the file decides.
    allow_missing_attention
        Load a file without CBAM weights into a network with CBAM. Its gates will be random.
    name
        What to call it; the file's title or name otherwise.
    folder
        If given, the file must lie in it.
    apart
        Interpret the file in a process with limits of time and memory, for programs that serve
        others meanwhile; see `read_weights`.
    **kwargs
        Passed to `create_model`; they win over the file's own arguments.

    Raises
    ------
    CheckpointError
        The file cannot be read safely, is of an unknown network, or does not fit; the text says
        what is missing.
    ModelError
        The architecture is unknown or cannot take the attention.
    """
    if checkpoint is None:
        return _untrained(architecture, attention, num_classes, name, kwargs)
    source = Path(checkpoint) if isinstance(checkpoint, str) else checkpoint
    file = read_weights(source, folder=folder, apart=apart)
    metadata = parse_metadata(file.metadata)
    weights = find_weights(file.content)
    translate(weights)
    _remove_unknown_prefixes(weights)
    plan = _plan(
        weights,
        metadata,
        architecture=architecture,
        attention=attention or ("cbam" if allow_missing_attention else None),
        num_classes=num_classes,
        arguments=kwargs,
    )
    with torch.device("meta"):
        trial = fit_tensors(_build(plan, weights), weights)
    _check(trial, plan, weights, allow_missing_attention=allow_missing_attention)
    model = _build(plan, weights)
    fit = fit_tensors(model, weights)
    check_values(model, fit.tensors)
    model.load_state_dict(fit.tensors, strict=False)
    _describe_input(model, metadata)
    classes = _classes(model, metadata, weights)
    return LoadedModel(
        model=model.eval(),
        name=name or display_name(source, metadata, plan.architecture),
        spec=input_spec(model),
        classes=classes,
        report=_report(fit, weights),
        sha256=file.sha256,
        metadata=frozen(metadata),
    )


def _untrained(
    architecture: str | None,
    attention: AttentionLike | None,
    num_classes: int | None,
    name: str | None,
    kwargs: Mapping[str, Any],
) -> LoadedModel:
    if architecture is None:
        raise ModelError("Give a checkpoint or an architecture, such as 'resnet50'.")
    layer = None if attention == PLAIN else attention or "cbam"
    model = build_model(architecture, attention=layer, num_classes=num_classes, **kwargs)
    return LoadedModel(
        model=model,
        name=name or f"{architecture}, untrained",
        spec=input_spec(model),
        classes=None if not kwargs.get("pretrained") else default_classes(model),
    )


def _plan(
    weights: Weights,
    metadata: Mapping[str, Any],
    *,
    architecture: str | None,
    attention: AttentionLike | None,
    num_classes: int | None,
    arguments: Mapping[str, Any],
) -> Plan:
    shapes = shapes_of(weights.tensors)
    chosen = architecture or metadata.get("architecture") or _inferred(weights)
    chosen = known_architecture(chosen) if architecture is None else chosen
    layers = attention_layers(shapes)
    inserted = (metadata.get("inserted_cbam") or {}).get("at") or inserted_at(layers)
    in_blocks = [name for name in layers if name not in {f"{place}.cbam" for place in inserted}]
    if attention is None and "attention" in metadata:
        attention = metadata["attention"] or PLAIN
    if attention is None and in_blocks:
        attention = layers[in_blocks[0]].kind
    size = classifier_size(known_architecture(chosen), shapes)
    if num_classes is not None and size and num_classes != size:
        weights.notes.append(
            f"{num_classes:,} classes were asked for; the checkpoint's classifier has {size:,}, "
            "which was taken."
        )
    return Plan(
        architecture=chosen,
        attention=None if attention == PLAIN else attention,
        meant_plain=attention == PLAIN,
        num_classes=size or (num_classes if num_classes is not None else size),
        inserted=tuple(str(place) for place in inserted),
        arguments={**metadata.get("arguments", {}), **arguments},
    )


def _remove_unknown_prefixes(weights: Weights) -> None:
    """Remove prefixes that most names share, if the network can be told then and not before."""
    trial, removed = weights.tensors, list[str]()
    while not infer_architecture(shapes_of(trial)):
        prefix = shared_prefix(trial)
        if prefix is None or len(removed) == _MOST_PREFIXES:
            return
        trial = without_prefix(trial, prefix)
        removed.append(prefix)
    weights.tensors = trial
    weights.notes.extend(f"The prefix {prefix!r} was removed." for prefix in removed)


def _inferred(weights: Weights) -> str:
    fitting = infer_architecture(shapes_of(weights.tensors))
    if not fitting:
        raise CheckpointError(
            "The network cannot be told from the tensors' names and shapes. Say which timm "
            "architecture it is (architecture='resnet50'); for a network of your own, use its "
            "Python code on the command line: --model module:factory."
        )
    also = f" {', '.join(fitting[1:4])} would fit too." if fitting[1:] else ""
    weights.notes.append(f"From its tensors, the network is {fitting[0]}.{also}")
    return fitting[0]


def _build(plan: Plan, weights: Weights) -> nn.Module:
    """Build the planned network, with each attention layer in the size that the file has."""
    model = build_model(
        plan.architecture,
        attention=plan.attention,
        num_classes=plan.num_classes,
        **plan.arguments,
    )
    if plan.inserted:
        insert_cbam(model, plan.inserted)
    fit_attention(model, attention_layers(shapes_of(weights.tensors)))
    return model


def _check(fit: Fit, plan: Plan, weights: Weights, *, allow_missing_attention: bool) -> None:
    """Refuse what would show noise or another network than the one that was trained."""
    if fit.wrong or fit.missing or fit.foreign:
        raise CheckpointError(_misfit(fit, plan, weights))
    if fit.missing_attention and not allow_missing_attention:
        raise CheckpointError(
            f"The checkpoint has no weights for {len(fit.missing_attention)} of the tensors of "
            f"{plan.architecture}'s CBAM layers (such as {fit.missing_attention[0]}): the "
            "attention would be noise. Load a checkpoint that was trained with CBAM, or insist "
            "with allow_missing_attention."
        )
    if not fit.has_attention and not plan.meant_plain:
        raise CheckpointError(
            f"The checkpoint is of a plain {plan.architecture}: it holds no CBAM weights, so there "
            "is no attention to show. Load one that was trained with CBAM, or insist with "
            "allow_missing_attention (the gates will be noise)."
        )


def _misfit(fit: Fit, plan: Plan, weights: Weights) -> str:
    fitting = infer_architecture(shapes_of(weights.tensors))
    hint = f" Its tensors fit {fitting[0]}." if fitting and plan.architecture not in fitting else ""
    what = []
    if fit.missing:
        what.append(f"{len(fit.missing)} tensors are missing, such as {fit.missing[0]}")
    if fit.wrong:
        what.append(f"{len(fit.wrong)} have another shape, such as {fit.wrong[0]}")
    if fit.foreign:
        what.append(f"{len(fit.foreign)} have no place in it, such as {fit.foreign[0]}")
    return f"The checkpoint is not one of {plan.architecture}: {'; '.join(what)}.{hint}"


def _describe_input(model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Let the file's input description win over timm's, on this new network only."""
    own = metadata.get("pretrained_cfg")
    if own:
        merged: Any = {**getattr(model, "pretrained_cfg", {}), **own}
        model.pretrained_cfg = merged


def _classes(
    model: nn.Module, metadata: Mapping[str, Any], weights: Weights
) -> tuple[str, ...] | None:
    names = metadata.get("classes")
    count = getattr(model, "num_classes", None)
    if names:
        if len(names) == count:
            return tuple(names)
        weights.notes.append(f"The file names {len(names)} classes and has {count}; not used.")
    usual = default_classes(model)
    if usual is not None:
        weights.notes.append("The file names no classes; those of ImageNet are assumed.")
    return usual


def _report(fit: Fit, weights: Weights) -> LoadReport:
    return LoadReport(
        matched=fit.matched,
        missing=fit.missing_attention,
        unexpected=fit.unexpected,
        reshaped=tuple(dict.fromkeys([*weights.reshaped, *fit.reshaped])),
        renamed=dict(weights.renamed),
        notes=(*weights.notes, *type_notes(fit.tensors)),
    )
