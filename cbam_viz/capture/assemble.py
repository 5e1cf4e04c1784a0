"""From what hooks and watching gave to the results, and to the plan for later forwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    Unsupported,
)
from ..errors import CaptureError, NoAttentionError
from .cells import cells_of, even_cells, holds_for_other_sizes
from .checks import Check, check_for
from .descent import branches_of, descriptors_of
from .known import KnownLayer
from .pairing import Found, branch_sums, name_layers, paired, weighted_sums
from .products import Gate, Odd, Product
from .recipes import Recipe, recipe_for
from .structure import ROOT_NAME, clean_name, plain_copy, stage_of
from .table import LayerPlan, Plan, Table

if TYPE_CHECKING:
    from .recorder import Forward

_Call = dict[str, list[Tensor]]


class Changed(Exception):  # noqa: N818
    """The network went another way than in the forward that was watched."""


def attention_of(
    table: Table, forward: Forward, output: Any, *, branches: bool, descriptors: bool
) -> Attention:
    """The result of one forward."""
    plan = forward.plan or table.plan(forward.signature)
    assert plan is not None
    layers: list[tuple[int, LayerAttention]] = []
    for order, prefix, number, call in known_calls(table, forward):
        key = _key(table.known[prefix].name, number)
        placed = plan.cells.get(key), plan.verified.get(key, False)
        layers.append(
            (order, _known_layer(table.known[prefix], number, call, forward.input_size, placed))
        )
    if forward.watch is not None:
        for found in _general(table, forward):
            layer = _watched_layer(found, forward, branches, descriptors)
            layers.append((found.products[0].node.order, layer))
    else:
        layers.extend(_planned_layers(plan, forward))
    layers.sort(key=lambda item: item[0])
    named = {layer.name: layer for _, layer in layers}
    ran = {layer.module for layer in named.values()}
    never = tuple(
        dict.fromkeys(
            [k.name for k in table.known.values() if k.name not in ran]
            + [name for name in plan.not_called if name not in ran]
        )
    )
    _demand_some(named, plan, never)
    return Attention(named, output, forward.input_size, plan.unsupported, never)


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


def learned_plan(table: Table, forward: Forward) -> Plan:
    """What the watched forward showed, for the ones to come."""
    watch = forward.watch
    assert watch is not None
    layers: list[LayerPlan] = []
    found = _general(table, forward)
    sizes = True
    for one in found:
        recipes = [
            _checked_recipe(gate, forward)
            for gate in (one.channel, one.spatial)
            if gate is not None
        ]
        channel = recipes[0] if one.channel else None
        spatial = recipes[-1] if one.spatial else None
        sizes = sizes and all(recipe is not None and recipe.any_size for recipe in recipes)
        sizes = sizes and holds_for_other_sizes(one.products[-1].layout)
        cells = _cells(one, forward)
        layers.append(
            LayerPlan(
                one.key, one.module, one.call, channel, spatial, cells, one.composition,
                all(product.verified for product in one.products),
                _working_check(one, forward),
            )
        )  # fmt: skip
    cells_known, verified, fixed = _known_placements(table, forward)
    quick = all(
        plan.check is not None
        and (plan.channel is not None or one.channel is None)
        and (plan.spatial is not None or one.spatial is None)
        for plan, one in zip(layers, found, strict=True)
    )
    return Plan(
        layers, quick, cells_known, verified, _unsupported(table, forward, found),
        _never_entered(table, forward, found), sizes and fixed,
    )  # fmt: skip


def known_calls(table: Table, forward: Forward) -> list[tuple[int, str, int, _Call]]:
    """Calls of layers of known classes: (order, prefix, number, what was seen)."""
    calls: list[tuple[int, str, int, _Call]] = []
    running: dict[str, _Call] = {}
    counts: dict[str, int] = {}
    for order, (prefix, what, tensor) in enumerate(forward.events):
        if tensor is None:
            continue
        call = running.get(prefix)
        if call is None or (what in call and what != "branches"):
            counts[prefix] = counts.get(prefix, 0) + 1
            call = running[prefix] = {}
            at = forward.known_inputs.get((prefix, counts[prefix]))
            calls.append((at.order if at is not None else order, prefix, counts[prefix], call))
        call.setdefault(what, []).append(tensor)
    return calls


def _key(module: str, number: int) -> str:
    return module if number == 1 else f"{module}#{number}"


def _known_gates(layer: KnownLayer, call: _Call) -> tuple[Tensor | None, Tensor | None]:
    gates: list[Tensor | None] = []
    for what, site in (("channel", layer.channel), ("spatial", layer.spatial)):
        if site is None or what not in call:
            gates.append(None)
        elif site.sigmoid:
            gates.append(torch.sigmoid(call[what][0]))
        else:
            gates.append(call[what][0])
    return gates[0], gates[1]


def _known_layer(
    known: KnownLayer,
    number: int,
    call: _Call,
    input_size: tuple[int, int],
    placed: tuple[Cells | None, bool],
) -> LayerAttention:
    channel, spatial = _known_gates(known, call)
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
        name=_key(known.name, number),
        module=known.name,
        call=number,
        stage=stage_of(known.name),
        channel=None if channel is None else plain_copy(channel.flatten(1)),
        spatial=None if spatial is None else plain_copy(spatial[:, 0]),
        cells=cells if spatial is not None else None,
        composition=composition,
        found_by="hook",
        verified=verified,
        dtype=some.dtype,
        branches=ChannelBranches(*(plain_copy(one.flatten(1)) for one in branches))
        if len(branches) == 2
        else None,
        descriptors=SpatialDescriptors(*(plain_copy(descriptors[0][:, k]) for k in (0, 1)))
        if descriptors
        else None,
        features=LayerFeatures(
            plain_copy(call["before"][0]),
            plain_copy(call["between"][0]) if "between" in call else None,
            plain_copy(call["after"][0]),
        )
        if "before" in call and "after" in call
        else None,
    )


def _known_placements(
    table: Table, forward: Forward
) -> tuple[dict[str, Cells], dict[str, bool], bool]:
    """Cells and verification of layers of known classes; whether cells hold for any size."""
    cells: dict[str, Cells] = {}
    verified: dict[str, bool] = {}
    fixed = True
    assert forward.watch is not None
    for _, prefix, number, call in known_calls(table, forward):
        known = table.known[prefix]
        key = _key(known.name, number)
        channel, spatial = _known_gates(known, call)
        node = forward.known_inputs.get((prefix, number))
        if node is not None and spatial is not None:
            size = int(spatial.shape[-2]), int(spatial.shape[-1])
            cells[key] = cells_of(node.layout, forward.input_size, size)
            fixed = fixed and holds_for_other_sizes(node.layout) and cells[key].exact
        mine = [p for p in forward.watch.products if _call_in(p, prefix) == number]
        seen = {gate.kind: gate.value for p in mine for gate in p.gates}
        verified[key] = all(p.verified for p in mine) and all(
            gate is None or (kind in seen and torch.equal(seen[kind].flatten(), gate.flatten()))
            for kind, gate in (("channel", channel), ("spatial", spatial))
        )
    return cells, verified, fixed


def _call_in(product: Product | Odd, prefix: str) -> int | None:
    return next((f.number for f in product.frame.path() if f.module == prefix), None)


def _general(table: Table, forward: Forward) -> list[Found]:
    """All layers that the products show, but those of known classes."""
    if forward.found is None:
        watch = forward.watch
        assert watch is not None
        pooling = weighted_sums(watch.products)
        products = [
            product
            for product in watch.products
            if product not in pooling
            and not any(frame.module in table.known for frame in product.frame.path())
        ]
        forward.found = paired(products)
        name_layers(forward.found, len(table.children), table.scripted)
    return forward.found


def _cells(found: Found, forward: Forward) -> Cells | None:
    if found.spatial is None:
        return None
    product = next(p for p in found.products if "spatial" in p.kinds)
    size = found.spatial.value.shape
    return cells_of(product.layout, forward.input_size, (int(size[1]), int(size[2])))


def _checked_recipe(gate: Gate, forward: Forward) -> Recipe | None:
    """A recipe that gives the very gate that was multiplied."""
    recipe = recipe_for(gate.node, forward.outputs, tuple(gate.value.shape[1:]))
    if recipe is None:
        return None
    try:
        again = recipe.gate(forward.leaves)
    except (RuntimeError, TypeError, KeyError):
        return None
    return recipe if torch.equal(again, gate.value) else None


def _working_check(found: Found, forward: Forward) -> Check | None:
    """A check that holds for the forward that was watched."""
    gates = [gate for gate in (found.channel, found.spatial) if gate is not None]
    check = check_for(
        [gate.node for gate in gates],
        [product.node for product in found.products],
        forward.boundaries,
    )
    if check is None:
        return None
    try:
        holds = check.holds(forward.samples, [gate.value for gate in gates])
    except (RuntimeError, TypeError, KeyError):
        return None
    return check if holds else None


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
        cells=_cells(found, forward),
        composition=found.composition,
        found_by="watch",
        verified=all(product.verified for product in found.products),
        dtype=gate.value.dtype,
        branches=branches_of(found, watch) if branches else None,
        descriptors=descriptors_of(found, watch) if descriptors else None,
        features=features,
    )


_SEQUENTIAL = ("channel then spatial", "spatial then channel")


def _planned_layers(plan: Plan, forward: Forward) -> Iterable[tuple[int, LayerAttention]]:
    """Layers of unknown classes from their leaves' copies."""
    for layer in plan.layers:
        recipes = [recipe for recipe in (layer.channel, layer.spatial) if recipe is not None]
        leaves = [leaf for recipe in recipes for leaf in recipe.leaves]
        here = [leaf in forward.leaves for leaf in leaves]
        if not any(here):
            continue
        if not all(here):
            raise Changed(layer.key)
        gates = [recipe.gate(forward.leaves) for recipe in recipes]
        spatial = gates[-1] if layer.spatial is not None else None
        _demand(layer, forward, gates)
        yield (
            forward.first[leaves[0]],
            LayerAttention(
                name=clean_name(layer.key),
                module=clean_name(layer.module),
                call=layer.call,
                stage=stage_of(clean_name(layer.module)),
                channel=None if layer.channel is None else plain_copy(gates[0]),
                spatial=None if spatial is None else plain_copy(spatial),
                cells=layer.cells,
                composition=layer.composition,
                found_by="watch",
                verified=layer.verified,
                dtype=gates[0].dtype,
            ),
        )


def _demand(layer: LayerPlan, forward: Forward, gates: list[Tensor]) -> None:
    """The gates still explain what the layer's surroundings show."""
    check = layer.check
    boundaries = () if check is None else (*check.leaves, check.result)
    if check is None or any(one not in forward.samples for one in boundaries):
        raise Changed(layer.key)
    if not check.holds(forward.samples, gates):
        raise Changed(layer.key)


def _unsupported(table: Table, forward: Forward, found: list[Found]) -> tuple[Unsupported, ...]:
    assert forward.watch is not None
    seen = [(odd.node.order, odd.frame, odd.reason) for odd in forward.watch.odd]
    for product in branch_sums(forward.watch.products):
        reason = "weights for several branches, which are summed up"
        seen.append((product.node.order, product.frame, reason))
    told: dict[str, str] = {}
    for _, frame, reason in sorted(seen, key=lambda one: one[0]):
        if not any(around.module in table.known for around in frame.path()):
            told.setdefault(clean_name(frame.module) or ROOT_NAME, reason)
    return tuple(Unsupported(module, reason) for module, reason in told.items())


def _never_entered(table: Table, forward: Forward, found: list[Found]) -> tuple[str, ...]:
    assert forward.watch is not None
    entered = {clean_name(name) for name in forward.watch.calls}
    return tuple(
        name
        for name in table.lookalikes
        if name not in entered and not any(other.startswith(name + ".") for other in entered)
    )


__all__ = ["Changed", "attention_of", "known_calls", "learned_plan", "replace"]
