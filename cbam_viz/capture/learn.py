"""The plan for later forwards, from one that was watched."""

from __future__ import annotations

import torch

from ..attention import Cells, Unsupported
from ..wrappers import clean_name
from .cells import cells_of, holds_for_other_sizes, upright
from .checks import Check, check_for
from .forward import (
    Forward,
    call_key,
    cells_hold,
    cells_on_input,
    general_layers,
    known_calls,
    known_gates,
)
from .pairing import Found, branch_sums, weights_of
from .products import Gate, Odd, Product
from .recipes import Recipe, recipe_for
from .structure import ROOT_NAME
from .table import LayerPlan, Plan, Table


def learned_plan(table: Table, forward: Forward) -> Plan:
    """What the watched forward showed, for the ones to come."""
    watch = forward.watch
    assert watch is not None
    layers: list[LayerPlan] = []
    found = general_layers(table, forward)
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
        sizes = sizes and cells_hold(one)
        cells = cells_on_input(one, forward)
        layers.append(
            LayerPlan(
                one.key, one.module, one.call, channel, spatial, cells, one.composition,
                all(product.verified for product in one.products),
                weights_of(one),
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
        key = call_key(known.name, number)
        channel, spatial = known_gates(known, call)
        node = forward.known_inputs.get((prefix, number))
        if node is not None and spatial is not None:
            size = int(spatial.shape[-2]), int(spatial.shape[-1])
            layout = upright(node.layout)
            cells[key] = cells_of(layout, forward.input_size, size)
            fixed = fixed and holds_for_other_sizes(layout)
        mine = [p for p in forward.watch.products if _call_in(p, prefix) == number]
        seen = {gate.kind: gate.value for p in mine for gate in p.gates}
        verified[key] = all(p.verified for p in mine) and all(
            gate is None or (kind in seen and torch.equal(seen[kind].flatten(), gate.flatten()))
            for kind, gate in (("channel", channel), ("spatial", spatial))
        )
    return cells, verified, fixed


def _call_in(product: Product | Odd, prefix: str) -> int | None:
    return next((f.number for f in product.frame.path() if f.module == prefix), None)


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


def _unsupported(table: Table, forward: Forward, found: list[Found]) -> tuple[Unsupported, ...]:
    assert forward.watch is not None
    seen = [(odd.node.order, odd.frame, odd.reason) for odd in forward.watch.odd]
    for product in branch_sums(forward.watch.products):
        reason = "weights for several branches, which are summed up"
        seen.append((product.node.order, product.frame, reason))
    for frame, error in forward.watch.errors:
        reason = f"an operation that could not be read ({type(error).__name__}: {error})"
        seen.append((frame.serial, frame, reason))
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
