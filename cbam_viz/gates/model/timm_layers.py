"""Layers whose source is known, so that a plain forward hook on a submodule gives the gate itself.

These are timm's: `CbamModule`, `LightCbamModule` and their halves. All others are found by watching
what feature maps are multiplied by.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from ...wrappers import clean_name
from .structure import ROOT_NAME

Part = Literal["channel", "spatial"]


@dataclass(frozen=True)
class GateSite:
    """A submodule whose output is a gate, or a gate's logits if `sigmoid` is still to come."""

    path: str
    """Dotted name below the layer."""
    sigmoid: bool = False
    """timm's LightChannelAttn owns a `gate` module and calls F.sigmoid instead."""


@dataclass(frozen=True)
class KnownLayer:
    """One layer of a known class, and where in it things can be seen. Paths are below the layer."""

    name: str
    channel: GateSite | None
    spatial: GateSite | None
    branches: str | None
    """A module that runs twice: its first output is the average branch, its second the maximum."""
    descriptors: str | None
    """A module whose input is the two maps [mean, maximum]."""
    halves: tuple[str, ...]
    """The modules that multiply, in order: the input of the first is the layer's input."""
    weights: tuple[str, ...] = ()
    """Dotted names of its parameters, below the model."""


def known_layers(model: nn.Module) -> dict[str, KnownLayer]:
    """All layers of known classes in `model`, in the order of its modules.

    Subclasses count only while they keep the known forward. A gate module that two layers share
    cannot tell them apart: such layers are left to the general way.
    """
    timm = sys.modules.get("timm.layers.cbam")
    if timm is None:
        return {}
    layers: dict[str, KnownLayer] = {}
    inside: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(prefix) for prefix in inside):
            continue
        layer = _known(clean_name(name) or ROOT_NAME, module, timm)
        if layer is not None:
            weights = tuple(
                clean_name(weight) for weight, _ in module.named_parameters(prefix=name)
            )
            layers[name] = replace(layer, weights=weights)
            inside.append(name + "." if name else "")
    return _without_shared_gates(model, layers)


def _runs(module: nn.Module, *classes: type) -> bool:
    return any(
        isinstance(module, cls)
        and type(module).forward is cls.forward  # type: ignore[attr-defined]
        and "forward" not in module.__dict__
        for cls in classes
    )


def _known(name: str, module: nn.Module, timm: object) -> KnownLayer | None:
    cbam, light = timm.CbamModule, timm.LightCbamModule  # type: ignore[attr-defined]
    if _runs(module, cbam, light):
        channel, spatial = module.channel, module.spatial
        first = _channel(name, channel, timm, "channel.")
        second = _spatial(name, spatial, timm, "spatial.")
        if first is None or second is None:
            return None
        return KnownLayer(
            name, first.channel, second.spatial, first.branches, second.descriptors,
            ("channel", "spatial"),
        )  # fmt: skip
    return _channel(name, module, timm, "") or _spatial(name, module, timm, "")


def _channel(name: str, module: object, timm: object, at: str) -> KnownLayer | None:
    if not isinstance(module, nn.Module):
        return None
    half = (at.rstrip("."),)
    if _runs(module, timm.ChannelAttn):  # type: ignore[attr-defined]
        return KnownLayer(name, GateSite(at + "gate"), None, at + "fc2", None, half)
    if _runs(module, timm.LightChannelAttn):  # type: ignore[attr-defined]
        return KnownLayer(name, GateSite(at + "fc2", sigmoid=True), None, None, None, half)
    return None


def _spatial(name: str, module: object, timm: object, at: str) -> KnownLayer | None:
    if not isinstance(module, nn.Module):
        return None
    half = (at.rstrip("."),)
    if _runs(module, timm.SpatialAttn):  # type: ignore[attr-defined]
        return KnownLayer(name, None, GateSite(at + "gate"), None, at + "conv", half)
    if _runs(module, timm.LightSpatialAttn):  # type: ignore[attr-defined]
        return KnownLayer(name, None, GateSite(at + "gate"), None, None, half)
    return None


def _without_shared_gates(model: nn.Module, layers: dict[str, KnownLayer]) -> dict[str, KnownLayer]:
    users: dict[int, list[str]] = {}
    for prefix, layer in layers.items():
        for site in (layer.channel, layer.spatial):
            if site is not None:
                gate = model.get_submodule(f"{prefix}.{site.path}" if prefix else site.path)
                users.setdefault(id(gate), []).append(prefix)
    shared = {prefix for prefixes in users.values() if len(prefixes) > 1 for prefix in prefixes}
    return {prefix: layer for prefix, layer in layers.items() if prefix not in shared}
