"""From what hooks and watching gave to the result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attention import (
    Attention,
    Cells,
    ChannelBranches,
    Composition,
    LayerAttention,
    LayerFeatures,
    SpatialDescriptors,
)
from ..errors import CaptureError, NoAttentionError
from ..wrappers import clean_name
from .layout.cells import even_cells, overhang
from .model.blocks import place_of
from .model.structure import own, plain_copy, stage_of
from .model.timm_layers import KnownLayer
from .plan.forward import (
    Forward,
    KnownCall,
    call_key,
    cells_on_input,
    general_layers,
    known_calls,
    known_gates,
)
from .plan.recipes import Recipe
from .plan.table import LayerPlan, Plan, Table
from .watch.computation import computation_in, computation_of
from .watch.descent import branches_of, descriptors_of
from .watch.pairing import Found, weights_of


class Changed(Exception):  # noqa: N818
    """The network went another way than in the forward that was watched."""


def attention_of(
    table: Table,
    plan: Plan,
    forward: Forward,
    output: Any,
    *,
    branches: bool,
    descriptors: bool,
    steps: bool | frozenset[str] = False,
) -> Attention:
    """The result of one forward.

    Raises:
        Changed: it was not watched, and its plan does not hold for it.
    """
    if forward.watch is None and plan.way != tuple(forward.way):
        raise Changed
    layers: list[tuple[int, LayerAttention]] = []
    for order, prefix, number, call in known_calls(table, forward):
        placed = plan.cells.get((prefix, number)), plan.verified.get((prefix, number), False)
        known = table.known[prefix]
        place = _place(table, known.name)
        layer = _known_layer(known, number, call, forward.input_size, placed, place=place)
        if wanted(steps, layer.name):
            layer = replace(layer, computation=computation_in(forward, prefix, number))
        layers.append((order, layer))
    if forward.watch is not None:
        for found in general_layers(table, forward):
            layer = _watched_layer(found, forward, branches, descriptors)
            if wanted(steps, layer.name):
                layer = replace(layer, computation=computation_of(found, forward.watch))
            layers.append((found.products[0].node.order, layer))
    else:
        layers.extend(_planned_layers(table, plan, forward))
    layers.sort(key=lambda item: item[0])
    named = _named([_in_its_block(layer, table) for _, layer in layers])
    ran = {layer.module for layer in named.values()} | {one.module for one in plan.unsupported}
    never = tuple(
        dict.fromkeys(
            [k.name for k in table.known.values() if k.name not in ran]
            + [name for name in plan.not_called if name not in ran]
        )
    )
    _demand_some(named, plan, never)
    return Attention(named, output, forward.input_size, plan.unsupported, never)


def wanted(steps: bool | frozenset[str], name: str) -> bool:
    """Whether the operations of this layer are to be given."""
    return steps if isinstance(steps, bool) else name in steps


def overhangs(attention: Attention) -> dict[str, tuple[float, float]]:
    """How far each layer's cells reach beyond the input."""
    return {
        name: overhang(layer.cells, layer.spatial.shape, attention.input_size)
        for name, layer in attention.items()
        if layer.cells is not None and layer.spatial is not None
    }


def demand_places(plan: Plan, attention: Attention) -> None:
    """Raises Changed if a map has another size than its way through the network would give."""
    for name, now in overhangs(attention).items():
        then = plan.overhangs.get(name, (math.inf, math.inf))
        if not all(abs(a - b) < 1 for a, b in zip(now, then, strict=True)):
            raise Changed(name)


def _named(layers: list[LayerAttention]) -> dict[str, LayerAttention]:
    """By name; a call whose name is that of another module, or taken, gets the next free number."""
    modules = {layer.module for layer in layers}
    named: dict[str, LayerAttention] = {}
    for layer in layers:
        name, number = layer.name, layer.call
        while name in named or (number > 1 and name in modules):
            number += 1
            name = call_key(layer.module, number)
        named[name] = layer if name == layer.name else replace(layer, name=name)
    return named


def _demand_some(layers: dict[str, LayerAttention], plan: Plan, never: tuple[str, ...]) -> None:
    if layers or plan.unsupported:
        return
    if never:
        raise CaptureError(
            "None of the model's attention layers ran in this forward: "
            + ", ".join(never[:8])
            + (f" and {len(never) - 8} more" if len(never) > 8 else "")
            + ". Call them in the model's forward, or capture a model that does."
        )
    raise NoAttentionError(
        "This model gates no feature map by channel weights or by a spatial map, so there is no "
        "attention to show. Make a model that does with cbam_viz.create_model(name), or put CBAM "
        "into this one with cbam_viz.insert_cbam(model)."
    )


def _place(table: Table, module: str) -> tuple[str, str | None]:
    """The stage and block that a module is in, as far as they are known yet."""
    return table.places.get(module) or (stage_of(module), None)


def _in_its_block(layer: LayerAttention, table: Table) -> LayerAttention:
    """The layer with the stage and block that it is in, looked up once for each module."""
    if layer.block is not None:
        return layer
    if layer.module not in table.places:
        modules = {
            clean_name(name): module
            for name, one in table.modules.items()
            if (module := one()) is not None  # a compiled one cannot be asked for its truth
        }
        table.places[layer.module] = place_of(layer, modules)
    stage, block = table.places[layer.module]
    return replace(layer, stage=stage, block=block)


def _known_layer(
    known: KnownLayer,
    number: int,
    call: KnownCall,
    input_size: tuple[int, int],
    placed: tuple[Cells | None, bool],
    *,
    place: tuple[str, str | None],
) -> LayerAttention:
    channel, spatial = known_gates(known, call)
    cells, verified = placed
    composition: Composition = "channel then spatial"
    if channel is None or spatial is None:
        composition = "spatial" if channel is None else "channel"
    if spatial is not None and cells is None:
        cells = even_cells(input_size, (int(spatial.shape[-2]), int(spatial.shape[-1])))
    some = spatial if channel is None else channel
    assert some is not None
    branches, descriptors = call.get("branches", []), call.get("descriptors", [])
    return LayerAttention(
        name=call_key(known.name, number),
        module=known.name,
        call=number,
        stage=place[0],
        block=place[1],
        channel=None if channel is None else own(channel.flatten(1)),
        spatial=None if spatial is None else own(spatial.select(1, 0)),
        cells=cells if spatial is not None else None,
        composition=composition,
        found_by="hook",
        verified=verified,
        dtype=some.dtype,
        weights=known.weights,
        branches=ChannelBranches(*(own(one.flatten(1)) for one in branches))
        if len(branches) == 2
        else None,
        descriptors=SpatialDescriptors(*(plain_copy(descriptors[0][:, k]) for k in (0, 1)))
        if descriptors
        else None,
        features=LayerFeatures(
            own(call["before"][0]),
            own(call["between"][0]) if "between" in call else None,
            own(call["after"][0]),
        )
        if "before" in call and "after" in call
        else None,
    )


def _watched_layer(
    found: Found, forward: Forward, branches: bool, descriptors: bool
) -> LayerAttention:
    watch = forward.watch
    assert watch is not None
    gate = found.channel or found.spatial
    assert gate is not None
    first, last = found.products[0], found.products[-1]
    features = None
    if first.before is not None and last.after is not None:
        after = last.after
        if found.composition == "parallel" and len(found.products) == 2:
            after = torch.stack([p.after for p in found.products if p.after is not None]).sum(0)
        between = first.after if found.composition in _SEQUENTIAL and last is not first else None
        features = LayerFeatures(
            plain_copy(first.before),
            None if between is None else plain_copy(between),
            plain_copy(after),
        )
    return LayerAttention(
        name=clean_name(found.key),
        module=clean_name(found.module),
        call=found.call,
        stage=stage_of(clean_name(found.module)),
        channel=None if found.channel is None else plain_copy(found.channel.value),
        spatial=None if found.spatial is None else plain_copy(found.spatial.value),
        cells=cells_on_input(found, forward),
        composition=found.composition,
        found_by="watch",
        verified=all(product.verified for product in found.products),
        dtype=gate.value.dtype,
        weights=tuple(map(clean_name, weights_of(found))),
        branches=branches_of(found, watch) if branches else None,
        descriptors=descriptors_of(found, watch) if descriptors else None,
        features=features,
    )


_SEQUENTIAL = ("channel then spatial", "spatial then channel")


def _planned_layers(
    table: Table, plan: Plan, forward: Forward
) -> Iterable[tuple[int, LayerAttention]]:
    """Layers of unknown classes from their leaves' copies."""
    for layer in plan.layers:
        gates = _planned_gates(layer, forward)
        leaves = [leaf for recipe in layer.recipes for leaf in recipe.leaves]
        stage, block = _place(table, clean_name(layer.module))
        yield (
            forward.first[leaves[0]],
            LayerAttention(
                name=clean_name(layer.key),
                module=clean_name(layer.module),
                call=layer.call,
                stage=stage,
                block=block,
                channel=_given(layer.channel, gates[0]),
                spatial=_given(layer.spatial, gates[-1]),
                cells=layer.cells,
                composition=layer.composition,
                found_by="watch",
                verified=layer.verified,
                dtype=gates[0].dtype,
                weights=tuple(map(clean_name, layer.weights)),
            ),
        )


def _given(recipe: Recipe | None, gate: Tensor) -> Tensor | None:
    if recipe is None:
        return None
    return own(gate) if recipe.makes else plain_copy(gate)


def _planned_gates(layer: LayerPlan, forward: Forward) -> list[Tensor]:
    """The gates, if they still explain what the layer's surroundings show."""
    try:
        gates = [recipe.gate(forward.leaves) for recipe in layer.recipes]
        holds = layer.check is not None and layer.check.holds(forward.samples, gates)
    except (KeyError, TypeError, RuntimeError) as error:  # not there, or of another shape
        raise Changed(layer.key) from error
    if not holds:
        raise Changed(layer.key)
    return gates
