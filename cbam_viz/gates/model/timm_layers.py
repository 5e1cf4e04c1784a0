"""Layers whose source is known, so that a plain forward hook on a submodule gives the gate itself.

These are timm's: `CbamModule`, `LightCbamModule` and their halves. All others are found by watching
what feature maps are multiplied by.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...wrappers import clean_name
from .copies import kept
from .hooks import Part, Sighting
from .names import ROOT_NAME


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


def known_layers(named: Mapping[str, nn.Module]) -> dict[str, KnownLayer]:
    """All layers of known classes in a network, in the order of its modules, given by name.

    Subclasses count only while they keep the known forward. A gate module that is a part of
    something else too cannot tell for which of them it runs: such layers are left to the general
    way.
    """
    timm = sys.modules.get("timm.layers.cbam")
    if timm is None:
        return {}
    kinds = tuple(getattr(timm, kind) for kind in _KINDS)
    layers: dict[str, KnownLayer] = {}
    inside: tuple[str, ...] = ()
    for name, module in named.items():
        if not isinstance(module, kinds) or name.startswith(inside):
            continue
        layer = _known(clean_name(name) or ROOT_NAME, module, timm)
        if layer is not None:
            weights = tuple(
                clean_name(weight) for weight, _ in module.named_parameters(prefix=name)
            )
            layers[name] = replace(layer, weights=weights)
            inside = (*inside, name + "." if name else "")
    return _without_shared_gates(named, layers)


_KINDS = (
    "CbamModule", "LightCbamModule", "ChannelAttn", "LightChannelAttn", "SpatialAttn",
    "LightSpatialAttn",
)  # fmt: skip


def _runs(module: nn.Module, *classes: type) -> bool:
    return any(
        isinstance(module, cls)
        and type(module).forward is cls.forward  # type: ignore[attr-defined]
        and runs_librarys(cls)
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


def plain_layers(
    named: Mapping[str, nn.Module], layers: Mapping[str, KnownLayer]
) -> frozenset[str]:
    """Those of these layers in which no code of the user's runs, so that all they do is known.

    And no part of which is a part of something else too.
    """
    users = _users(named) if layers else {}

    def is_plain(prefix: str) -> bool:
        layer, *parts = named[prefix].modules()
        return all(map(_is_libraries, (layer, *parts))) and all(
            users[id(one)] == 1 for one in parts
        )

    return frozenset(prefix for prefix in layers if prefix and is_plain(prefix))


def _is_libraries(module: nn.Module) -> bool:
    kind = type(module)
    return (
        kind.__module__.startswith(_LIBRARIES)
        and "forward" not in module.__dict__
        and runs_librarys(kind)
    )


def runs_librarys(kind: type, *methods: str) -> bool:
    """Whether nobody has put another forward, or others of these, in the place of a library's."""
    code = [getattr(kind, name, None) for name in ("forward", *methods)]
    return all(
        str(getattr(one, "__globals__", {}).get("__name__")).startswith(_LIBRARIES)
        for one in code
        if one is not None
    )


_LIBRARIES = ("torch.nn.modules.", "timm.layers.")


def fresh_gates(
    named: Mapping[str, nn.Module], layers: Mapping[str, KnownLayer]
) -> frozenset[Sighting]:
    """Gates that nobody but their layer gets: it multiplies by them, and lets them go.

    As long as no hook tells anybody else of them, they need not be copied before the forward ends.
    """
    found: set[Sighting] = set()
    for prefix, layer in layers.items():
        module = named[prefix]
        sites: tuple[tuple[Part, GateSite | None], ...] = (
            ("channel", layer.channel),
            ("spatial", layer.spatial),
        )
        for what, site in sites:
            gate = module.get_submodule(site.path) if site is not None else None
            plain = gate is not None and _is_libraries(gate) and not getattr(gate, "inplace", False)
            if plain and type(gate).__module__ in _FRESH:
                found.add(Sighting(what, prefix))
    return frozenset(found)


_FRESH = ("timm.layers.activations", "torch.nn.modules.activation", "torch.nn.modules.conv")
"""Where modules are defined that keep nothing of what they return."""


def _without_shared_gates(
    named: Mapping[str, nn.Module], layers: dict[str, KnownLayer]
) -> dict[str, KnownLayer]:
    users = _users(named) if layers else {}

    def shares(prefix: str, layer: KnownLayer) -> bool:
        at = named[prefix].get_submodule
        sites = [site.path for site in (layer.channel, layer.spatial) if site is not None]
        return any(users[id(at(path))] > 1 for path in sites)

    return {prefix: layer for prefix, layer in layers.items() if not shares(prefix, layer)}


def _users(named: Mapping[str, nn.Module]) -> Mapping[int, int]:
    """Of how many modules each module is a part, by its identity."""
    return Counter([id(part) for one in named.values() for part in one._modules.values()])


Event = tuple[Sighting, Tensor | None]
"""What a hook saw in a layer of a known class, and where."""

KnownCall = dict[str, list[Tensor]]
"""One call of a layer of a known class: what was seen, by part."""


def event(key: Sighting, args: tuple[Any, ...], output: Any) -> Event:
    """What a hook in a layer of a known class saw."""
    value = args[0] if key.what in ("before", "descriptors") and args else output
    return key, kept(value)


def known_calls(events: Iterable[Event]) -> list[tuple[int, str, int, KnownCall]]:
    """Calls of layers of known classes: (first event, prefix, number, what was seen)."""
    calls: list[tuple[int, str, int, KnownCall]] = []
    running: dict[str, KnownCall] = {}
    counts: dict[str, int] = {}
    for first, ((part, prefix), copy) in enumerate(events):
        if copy is None:
            continue
        call = running.get(prefix)
        if call is None or (part in call and part != "branches"):
            number = counts[prefix] = counts.get(prefix, 0) + 1
            call = running[prefix] = {}
            calls.append((first, prefix, number, call))
        call.setdefault(part, []).append(copy)
    return calls


def known_gates(layer: KnownLayer, call: KnownCall) -> tuple[Tensor | None, Tensor | None]:
    """Channel weights and map of one call, in the shapes that the layer gives them."""
    gates: list[Tensor | None] = []
    for what, site in (("channel", layer.channel), ("spatial", layer.spatial)):
        if site is None or what not in call:
            gates.append(None)
        elif site.sigmoid:
            gates.append(torch.sigmoid(call[what][0]))
        else:
            gates.append(call[what][0])
    return gates[0], gates[1]
