"""`load_model`: a checkpoint of any origin, fitted to a network, with a report on how."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from cbam_viz._text import few, quoted
from cbam_viz.errors import CheckpointError, ModelError, PlainCheckpointError
from cbam_viz.models.arguments import Build, arguments_of, build_of_config, build_of_training
from cbam_viz.models.attention_layer import AttentionLike
from cbam_viz.models.build import build_model
from cbam_viz.models.families import known_architecture
from cbam_viz.models.fit import Fit, check_values, fit_attention, fit_tensors, type_notes
from cbam_viz.models.infer import (
    Shapes,
    attention_layers,
    channels_taken,
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
    config_of,
    display_name,
    frozen,
    input_spec,
)
from cbam_viz.models.metadata import parse_metadata
from cbam_viz.models.quantised import refuse_quantised
from cbam_viz.models.scaled import block_size_of, multiplied_out
from cbam_viz.models.seeded import seeded
from cbam_viz.models.shards import checkpoint_path, named_after, read_checkpoint
from cbam_viz.models.state import Weights, find_weights, shared_prefix, without_prefix
from cbam_viz.models.stated import Config, imagenet_names, read_config, read_stated
from cbam_viz.models.trial import on_trial, refuse_giant_forward
from cbam_viz.models.yolo.load import load_ultralytics, network_in

_MOST_PREFIXES = 3
_MOST_AT_RANDOM = 100_000_000
"""Numbers of attention layers that a file lacks; those of all timm networks have fewer."""

OWN_CODE = (
    "If it is of your own code, show that as well: --model FILE.py:FACTORY, which 'cbam-viz app' "
    "takes too."
)

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
        A .safetensors, .pth or .pt file or its content; the index of one in shards
        (`model.safetensors.index.json`), or a folder that holds one checkpoint. None builds an
        untrained network, with the same weights every time.
    architecture
        A timm name.
    attention
        As for `create_model`; None infers it, `"none"` means the network as timm defines it.
    num_classes
        Only for a file that has no classifier; a classifier in the file decides.
    allow_missing_attention
        Load a file without CBAM weights into a network with CBAM. Its gates will be random,
        and the same every time.
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
        with seeded():
            return _untrained(architecture, attention, num_classes, name, kwargs)
    source = Path(checkpoint) if isinstance(checkpoint, str) else checkpoint
    called = source if isinstance(source, bytes) else named_after(source)
    if isinstance(source, Path):
        source = checkpoint_path(source)
    file = read_checkpoint(source, name=name, folder=folder, apart=apart)
    if architecture is None and network_in(file.content) is not None:
        return load_ultralytics(file, called, name=name)
    metadata = parse_metadata(file.metadata)
    config = read_config(source, folder)
    weights = find_weights(file.content)
    weights.notes[:0] = file.notes
    weights.tensors, told = multiplied_out(weights.tensors, block=block_size_of(config.content))
    weights.notes += told
    refuse_quantised(weights.tensors)
    translate(weights)
    _remove_unknown_prefixes(weights)
    if architecture is not None and network_in(file.content) is not None:
        weights.meant = (
            "The file holds a network of ultralytics, which is opened as it is: leave the "
            "architecture out."
        )
    plan = _plan(
        weights,
        metadata,
        architecture=architecture,
        attention=attention or ("cbam" if allow_missing_attention else None),
        num_classes=num_classes,
        builds=(
            build_of_training(file.content),
            build_of_config(config.architecture, config.content),
        ),
        config=config,
        arguments=kwargs,
    )
    with on_trial():
        trial = _build(plan, weights)
    _check(
        fit_tensors(trial, weights), plan, weights, allow_missing_attention=allow_missing_attention
    )
    usual = math.prod(input_spec(trial).size)
    stated = read_stated(
        trial,
        file.content,
        metadata,
        config,
        architecture=known_architecture(plan.architecture),
    )
    if math.prod(stated.spec.size) > usual or plan.arguments:
        refuse_giant_forward(trial, stated.spec.size)
    with seeded():  # a file may lack some of the weights
        model: Any = _build(plan, weights)
    fit = fit_tensors(model, weights)
    check_values(model, fit.tensors)
    model.load_state_dict(fit.tensors, strict=False)
    model.pretrained_cfg = config_of(trial)
    weights.notes.extend(stated.notes)
    if not stated.classes:
        _say_unnamed(model, weights)
    return LoadedModel(
        model=model.eval(),
        name=name or display_name(called, metadata, plan.architecture),
        spec=stated.spec,
        classes=stated.classes or None,
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
    count = getattr(model, "num_classes", None)
    return LoadedModel(
        model=model,
        name=name or f"{architecture}, untrained",
        spec=input_spec(model),
        classes=imagenet_names(config_of(model), count) if kwargs.get("pretrained") else None,
    )


def _plan(
    weights: Weights,
    metadata: Mapping[str, Any],
    *,
    architecture: str | None,
    attention: AttentionLike | None,
    num_classes: int | None,
    builds: Sequence[Build],
    config: Config,
    arguments: Mapping[str, Any],
) -> Plan:
    shapes = shapes_of(weights.tensors)
    chosen = architecture or metadata.get("architecture") or _inferred(weights, builds, config)
    chosen = known_architecture(chosen) if architecture is None else chosen
    layers = attention_layers(shapes)
    inserted = (metadata.get("inserted_cbam") or {}).get("at") or inserted_at(layers)
    in_blocks = [name for name in layers if name not in {f"{place}.cbam" for place in inserted}]
    if attention is None and "attention" in metadata:
        attention = metadata["attention"] or PLAIN
    if attention is None and in_blocks:
        attention = layers[in_blocks[0]].kind
    given: dict[str, Any] = dict(metadata.get("arguments") or {})
    for build in builds[:0] if metadata.get("architecture") else builds[::-1]:
        used, note = arguments_of(
            build, known_architecture(chosen), insisted=architecture is not None
        )
        given.update(used)
        weights.notes += [note] * bool(note)
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
        arguments={**_channels(chosen, shapes), **given, **arguments},
    )


def _channels(architecture: str, shapes: Shapes) -> dict[str, int]:
    """The argument for a network that takes other pictures than colours."""
    channels = channels_taken(known_architecture(architecture), shapes)
    return {} if channels in (None, 3) else {"in_chans": channels}


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
    weights.notes.extend(f"The prefix {quoted(prefix)} was removed." for prefix in removed)


def _inferred(weights: Weights, builds: Sequence[Build], config: Config) -> str:
    """Tell the network from its tensors; what is stated decides between those of equal tensors."""
    fitting = infer_architecture(shapes_of(weights.tensors))
    for build in builds:
        stated = build.architecture
        if stated is not None and (stated in fitting or not fitting):
            weights.notes.append(f"By {build.where}, the network is {stated}.")
            return stated
    if not fitting:
        raise CheckpointError(
            f"{config.of_transformers}The network cannot be told from the tensors' names and "
            "shapes. If it is timm's, name its architecture (--architecture; in the app, "
            f"Architecture). {weights.meant or OWN_CODE}"
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
            f"{plan.architecture}'s CBAM layers (such as {few(fit.missing_attention[:1])}): the "
            "attention would be noise. Load a checkpoint that was trained with CBAM, or insist "
            "with allow_missing_attention (--allow-missing-attention)."
        )
    if fit.at_random > max(_MOST_AT_RANDOM, fit.given):
        raise CheckpointError(
            f"The attention layers that the file lacks would have {fit.at_random:,} numbers, more "
            "than the file holds: its description is wrong. Give attention_args yourself."
        )
    if not fit.has_attention and not plan.meant_plain:
        raise PlainCheckpointError(
            f"The checkpoint is of a plain {plan.architecture}: it holds no CBAM weights, so there "
            "is no attention to show. Load one that was trained with CBAM. What it predicts, "
            "attention='none' shows (--attention none); allow_missing_attention "
            "(--allow-missing-attention) insists on gates, which will be noise."
        )


def _misfit(fit: Fit, plan: Plan, weights: Weights) -> str:
    fitting = infer_architecture(shapes_of(weights.tensors))
    if weights.meant:
        hint = f" {weights.meant}"
    elif fitting and plan.architecture not in fitting:
        hint = f" Its tensors fit {fitting[0]}: name that, or leave the architecture out."
    elif not fitting:
        hint = f" Its tensors fit no network of timm's. {OWN_CODE}"
    elif plan.meant_plain and attention_layers(shapes_of(weights.tensors)):
        hint = " It holds CBAM: leave attention out, which the file decides."
    else:
        hint = ""
    what = []
    if fit.missing:
        what.append(f"{len(fit.missing)} tensors are missing, such as {few(fit.missing[:1])}")
    if fit.wrong:
        what.append(f"{len(fit.wrong)} have another shape, such as {few(fit.wrong[:1])}")
    if fit.foreign:
        what.append(f"{len(fit.foreign)} have no place in it, such as {few(fit.foreign[:1])}")
    return f"The checkpoint is not one of {plan.architecture}: {'; '.join(what)}.{hint}"


def _say_unnamed(model: nn.Module, weights: Weights) -> None:
    """Note that nothing is known of the classes but their number; 1,000 need not be ImageNet's."""
    if getattr(model, "num_classes", None) != 0:
        weights.notes.append(
            "No names of the classes are known, so they are called by their numbers."
        )


def _report(fit: Fit, weights: Weights) -> LoadReport:
    return LoadReport(
        matched=fit.matched,
        missing=fit.missing_attention,
        unexpected=fit.unexpected,
        reshaped=tuple(dict.fromkeys([*weights.reshaped, *fit.reshaped])),
        renamed=dict(weights.renamed),
        notes=(*weights.notes, *type_notes(fit.tensors)),
    )
