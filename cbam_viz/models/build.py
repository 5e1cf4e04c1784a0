"""Building timm's networks, with attention layers or without; no checkpoint is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import nn

from cbam_viz._text import shortened
from cbam_viz.errors import ModelError
from cbam_viz.models.attention_layer import AttentionLike, LayerFactory, layer_factory
from cbam_viz.models.families import (
    Hook,
    hook_arguments,
    hook_of,
    known_architecture,
    near_cbam_names,
    squeeze_excite_classes,
)


class _PrunedError(Exception):
    """timm's file of a pruned network's sizes does not know the new layers."""


def build_model(
    name: str,
    *,
    num_classes: int | None = None,
    attention: AttentionLike | None = "cbam",
    attention_args: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build what `create_model` describes, without a checkpoint."""
    architecture = known_architecture(name)
    if "checkpoint_path" in kwargs:
        raise ModelError("Say checkpoint=... instead of checkpoint_path=...; it is read safely.")
    if num_classes is not None:
        kwargs["num_classes"] = num_classes
    if attention is None:
        return _timm_model(name, kwargs).eval()
    factory = layer_factory(attention, attention_args or {})
    model = _attentive(name, architecture, factory, kwargs)
    if model is None or not factory.layers_in(model):
        raise _cannot_take_attention(architecture)
    return model.eval()


def _cannot_take_attention(architecture: str) -> ModelError:
    """Return the error for a network whose blocks have no place for an attention layer."""
    return ModelError(
        f"The blocks of {architecture} have no place for an attention layer in timm. Near networks "
        f"that take CBAM: {', '.join(_verified(near_cbam_names(architecture)))}. To put CBAM "
        f"after the stages of {architecture} itself, use "
        f"cbam_viz.insert_cbam(timm.create_model({architecture!r}))."
    )


def _attentive(
    name: str, architecture: str, factory: LayerFactory, kwargs: Mapping[str, Any]
) -> nn.Module | None:
    """Build the network with `factory`'s layers, by its family's hook or by swapping.

    None where that is seen before building: nothing to swap, or a pruned network, for which timm
    has no sizes of new layers.
    """
    hook = hook_of(architecture)
    own = [key for key in ("se_layer", "attn", "attn_layer") if key in kwargs]
    if own and hook != "swap":
        raise ModelError(f"Say attention=... instead of {own[0]}=...; it means the same.")
    pretrained = bool(kwargs.get("pretrained"))
    plain = _timm_model(name, kwargs) if pretrained else None
    if hook != "swap":
        try:
            hooked = _by_hook(name, architecture, hook, factory, {**kwargs, "pretrained": False})
        except _PrunedError:
            return None
        if hooked is not None:
            if plain is not None:
                hooked.load_state_dict(_fitting(plain, hooked), strict=False)
            return hooked
    if plain is None and not _has_squeeze_excite(name, kwargs):
        return None
    model = plain if plain is not None else _timm_model(name, kwargs)
    _swap(model, factory)
    return model


def _by_hook(
    name: str, architecture: str, hook: Hook, factory: LayerFactory, kwargs: Mapping[str, Any]
) -> nn.Module | None:
    """Build through the family's own argument; None where this one network fixes it itself."""
    arguments = {**kwargs, **hook_arguments(architecture, hook, factory, kwargs)}
    try:
        return _timm_model(name, arguments)
    except ModelError as error:
        cause = error.__cause__
        if isinstance(cause, TypeError) and "multiple values" in str(cause):
            return None
        if isinstance(cause, TypeError) and hook == "attn_layer":
            return _timm_model(name, {**arguments, "attn_kwargs": {}})
        if isinstance(cause, KeyError) and "pruned" in architecture:
            raise _PrunedError from cause
        raise


def _timm_model(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, **kwargs)
    except Exception as error:
        cause = shortened(f"{type(error).__name__}: {error}".partition("\n")[0], 150)
        if kwargs.get("pretrained"):
            raise ModelError(
                f"timm's pretrained weights of {name} could not be loaded ({cause}). Without a "
                "network connection, use pretrained=False or a checkpoint file."
            ) from error
        raise ModelError(f"timm cannot build {name} with these arguments ({cause}).") from error
    return model


def _fitting(source: nn.Module, target: nn.Module) -> dict[str, torch.Tensor]:
    wanted = {key: value.shape for key, value in target.state_dict().items()}
    return {
        key: value for key, value in source.state_dict().items() if wanted.get(key) == value.shape
    }


def _has_squeeze_excite(name: str, kwargs: Mapping[str, Any]) -> bool:
    with torch.device("meta"):
        model = _timm_model(name, kwargs)
    return any(isinstance(module, squeeze_excite_classes()) for module in model.modules())


def _swap(model: nn.Module, factory: LayerFactory) -> None:
    """Put attention in the place of each squeeze-and-excitation, with its reduced width."""
    replaced = squeeze_excite_classes()
    for path, module in list(model.named_modules()):
        if not isinstance(module, replaced):
            continue
        first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
        if first is None:
            continue
        hints: dict[str, Any] = {"device": first.weight.device, "dtype": first.weight.dtype}
        if 1 < first.out_channels < first.in_channels:
            hints["rd_channels"] = first.out_channels
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, _made(factory, first.in_channels, hints))


def _made(factory: LayerFactory, channels: int, hints: Mapping[str, Any]) -> nn.Module:
    try:
        return factory(channels, **hints)
    except Exception as error:
        raise ModelError(
            f"The attention layer cannot be built for {channels} channels "
            f"({shortened(f'{type(error).__name__}: {error}', 150)}). Check its arguments."
        ) from error


def _verified(names: Sequence[str], wanted: int = 3) -> Sequence[str]:
    """Keep the first names whose network does take CBAM, built without memory to find out."""
    found: list[str] = []
    for name in names:
        factory = layer_factory("cbam", {})
        try:
            with torch.device("meta"):
                model = _attentive(name, name, factory, {})
        except ModelError:
            continue
        if model is not None and factory.layers_in(model):
            found.append(name)
        if len(found) == wanted:
            return found
    return found or ["resnet50"]
