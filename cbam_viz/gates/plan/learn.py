"""The plan for later forwards, from one that was watched."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ...attention import Cells, Unsupported
from ...wrappers import clean_name
from ..layout.cells import cells_of, holds_for_other_sizes, upright
from ..model.hooks import Sighting
from ..model.structure import ROOT_NAME
from ..watch.limits import TRANSFORMED, first_line
from ..watch.pairing import Found, weights_of
from ..watch.products import Gate, Odd, Product, Watch
from ..watch.reasons import BRANCHES, ONE_CELL, POOLING
from ..watch.sums import role
from ..watch.trace import origin
from .checks import Check, check_for
from .forward import Forward, cells_hold, cells_on_input, general_layers, known_calls, known_gates
from .recipes import Leaf, Recipe, recipe_for
from .table import LayerPlan, Plan, Table

_SQUASHING = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Softmax)


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
        sizes = sizes and (cells is None or cells.within is not None)
        layers.append(
            LayerPlan(
                one.key, one.module, one.call, channel, spatial, cells, one.composition,
                all(product.verified for product in one.products),
                weights_of(one),
                _working_check(one, forward),
            )
        )  # fmt: skip
    cells_known, verified, fixed = _known_placements(table, forward)
    gates = _gates(table, layers)
    trail = _trail(table, forward, set(gates.values()), found)
    steps = frozenset((*gates, *(Sighting("enter", name) for name in trail)))
    quick = _repeatable(table, forward) and all(
        plan.check is not None
        and (plan.channel is not None or one.channel is None)
        and (plan.spatial is not None or one.spatial is None)
        for plan, one in zip(layers, found, strict=True)
    )
    return Plan(
        layers, quick, cells_known, verified, _unsupported(table, forward, found),
        _never_entered(table, forward, found), sizes and fixed and not watch.odd,
        trail, steps, tuple(step for step in forward.way if step in steps), forward.state.drawn(),
    )  # fmt: skip


def _gates(table: Table, layers: Iterable[LayerPlan]) -> dict[Sighting, str]:
    """What tells of gates, and the modules that give them or that they are made of."""
    gates = {
        Sighting("leaf", name): name
        for layer in layers
        for recipe in layer.recipes
        for name, _ in recipe.leaves
    }
    for prefix, known in table.known.items():
        inside = f"{prefix}." if prefix else ""
        if known.channel is not None:
            gates[Sighting("channel", prefix)] = inside + known.channel.path
        if known.spatial is not None:
            gates[Sighting("spatial", prefix)] = inside + known.spatial.path
    return gates


def _trail(table: Table, forward: Forward, gates: set[str], found: list[Found]) -> frozenset[str]:
    """The modules whose calls tell of another way, if gates may differ or lie elsewhere there.

    Those that were never entered cost nothing until they are. Of the others, following all would
    cost as much as everything else: what matters are those that multiply by what cannot be given,
    resize maps, or return what a gate could be made of. Modules that give gates tell themselves.
    """
    watch = forward.watch
    assert watch is not None
    products: list[Product | Odd] = [*watch.products, *watch.odd]
    multiplying = _outside({product.frame.module for product in products}, table.known)
    by_gates = {product for one in found for product in one.products}  # their calls tell of these
    odd = {product.frame.module for product in products if product not in by_gates}
    telling = {name for name in watch.calls if isinstance(table.module(name), _SQUASHING)}
    telling |= _innermost(_outside(forward.resizing, table.known))
    telling |= _innermost(
        _outside(forward.small, (*table.known, *gates, *(name for name in multiplying if name)))
    )
    telling |= _outside(odd, table.known)
    followed = {
        name
        for name in table.modules
        if name and name not in gates and (name not in watch.calls or name in telling)
    }
    told = followed | gates
    return frozenset(name for name in followed if not _runs_one_of(table, name, told))


def _runs_one_of(table: Table, name: str, told: set[str]) -> bool:
    """Whether one call more of a `Sequential` is one call more of a module that tells its calls."""
    module = table.module(name)
    plain = type(module) is nn.Sequential and "forward" not in module.__dict__
    return plain and any(f"{name}.{child}" in told for child in module._modules)


def _innermost(names: set[str]) -> set[str]:
    """The names of modules that hold no other of these: what a holder does comes from there."""
    holders = {name[:k] for name in names for k, letter in enumerate(name) if letter == "."}
    return names - holders


def _outside(names: Iterable[str], holders: Iterable[str]) -> set[str]:
    """The names of modules that are in none of the holders."""
    inside = tuple(f"{holder}." if holder else "" for holder in holders)
    return {name for name in names if not name.startswith(inside)}


def _repeatable(table: Table, forward: Forward) -> bool:
    """Whether a forward that calls the same modules in the same order does the same.

    Not if numbers were read out of tensors, for the code may have asked them for its way; if what
    was recognised hangs on the values of this photo; or where hooks do not see.
    """
    watch = forward.watch
    assert watch is not None
    return not (watch.asked or watch.by_values or watch.errors or table.scripted)


def _known_placements(
    table: Table, forward: Forward
) -> tuple[dict[Leaf, Cells], dict[Leaf, bool], bool]:
    """Cells and verification of layers of known classes; whether cells hold for any size."""
    cells: dict[Leaf, Cells] = {}
    verified: dict[Leaf, bool] = {}
    fixed = True
    assert forward.watch is not None
    for _, prefix, number, call in known_calls(table, forward):
        known = table.known[prefix]
        key = (prefix, number)
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
        forward.ends,
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
    watch, inside = forward.watch, forward.watch.inside
    seen = [
        (odd.node.order, odd.frame, odd.reason)
        for odd in watch.odd
        if odd.reason != ONE_CELL or odd.node not in inside
    ]
    seen += [
        (product.node.order, product.frame, reason)
        for product in watch.products
        if product.node not in inside and (reason := _of_sum(product, watch)) is not None
    ]
    unread = set()
    for frame, error in forward.watch.errors:
        if frame not in unread:
            unread.add(frame)
            reason = f"an operation that could not be read ({first_line(error)})"
            seen.append((frame.serial, frame, reason))
    told: dict[str, list[str]] = {}
    hidden = {frame for frame in watch.transformed if frame.module in table.known}
    seen += [(frame.serial, frame, TRANSFORMED) for frame in hidden]
    seen += [
        (product.node.order, product.frame, TRANSFORMED)
        for product in watch.products
        if watch.in_transform(product.frame)
    ]
    for _, frame, seen_as in sorted(seen, key=lambda one: one[0]):
        reason = TRANSFORMED if watch.in_transform(frame) else seen_as
        if frame in hidden or not any(around.module in table.known for around in frame.path()):
            reasons = told.setdefault(clean_name(frame.module) or ROOT_NAME, [])
            if reason not in reasons:
                reasons.append(reason)
    return tuple(Unsupported(module, "; ".join(reasons)) for module, reasons in told.items())


def _of_sum(product: Product, watch: Watch) -> str | None:
    """What is told of weights that only serve a sum."""
    meant = role(product)
    if meant == "branches":
        return BRANCHES
    results = {origin(one.node) for one in watch.products}
    return POOLING if meant != "gate" and origin(product.feature) in results else None


def _never_entered(table: Table, forward: Forward, found: list[Found]) -> tuple[str, ...]:
    assert forward.watch is not None
    # A module whose `forward` was called itself is not entered: its parameters tell.
    entered = {clean_name(name) for name in (*forward.watch.calls, *forward.watch.used)}
    return tuple(
        name
        for name in table.lookalikes
        if name not in entered and not any(other.startswith(name + ".") for other in entered)
    )
