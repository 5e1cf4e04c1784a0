"""The plan for later forwards, from one that was watched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import torch
from torch import Tensor, nn

from ..._text import named
from ...attention import Cells, Unsupported
from ...wrappers import clean_name
from ..layout.cells import cells_of, holds_for_other_sizes, upright
from ..model.hooks import Sighting
from ..model.modules import Modules
from ..model.names import ROOT_NAME
from ..model.timm_layers import known_calls, known_gates
from ..watch.forward import Pass, WatchedForward, cells_hold, cells_on_input, layers_of
from ..watch.graph import Frame, origin
from ..watch.kept import left_behind
from ..watch.limits import TRANSFORMED
from ..watch.pairing import Found, weights_of
from ..watch.products import Gate, Odd, Product, Watch
from ..watch.reasons import (
    BRANCHES,
    ELSEWHERE,
    FROM_OUTSIDE,
    ONE_CELL,
    POOLING,
    STRANGER,
)
from ..watch.samples import Leaf
from ..watch.sums import role
from ..watch.trace import storages_of
from .checks import Check, check_for
from .plan import LayerPlan, Plan
from .recipes import Recipe, recipe_for

_SQUASHING = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Softmax)


def learned_plan(forward: WatchedForward, *, draws: bool) -> Plan:
    """What the watched forward showed, for the ones to come.

    `draws` says that it drew from Python's or NumPy's random numbers.
    """
    watch, modules = forward.watch, forward.modules
    layers: list[LayerPlan] = []
    found = layers_of(forward)
    watch.odd += _by_state(forward)
    if not (found or watch.odd or forward.events):
        watch.odd += _from_elsewhere(forward)
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
                key=one.key,
                module=one.module,
                call=one.call,
                channel=channel,
                spatial=spatial,
                cells=cells,
                composition=one.composition,
                verified=all(product.verified for product in one.products),
                weights=weights_of(one),
                check=_working_check(one, forward),
            )
        )
    cells_known, verified, fixed = _known_placements(forward)
    gates = _gates(modules, layers)
    trail = _trail(forward, set(gates.values()), found)
    steps = frozenset((*gates, *(Sighting("enter", name) for name in trail)))
    unsupported = _unsupported(forward)
    quick = _repeatable(forward) and all(
        plan.check is not None
        and (plan.channel is not None or one.channel is None)
        and (plan.spatial is not None or one.spatial is None)
        for plan, one in zip(layers, found, strict=True)
    )
    return Plan(
        layers=tuple(layers),
        quick=quick,
        cells=cells_known,
        verified=verified,
        unsupported=unsupported,
        not_called=_never_entered(forward),
        any_size=sizes and fixed and not watch.odd,
        trail=trail,
        steps=steps,
        way=tuple(step for step in forward.way if step in steps),
        operations=tuple(watch.sequence),
        draws=draws,
    )


def _gates(modules: Modules, layers: Iterable[LayerPlan]) -> dict[Sighting, str]:
    """What tells of gates, and the modules that give them or that they are made of."""
    gates = {
        Sighting("leaf", name): name
        for layer in layers
        for recipe in layer.recipes
        for name, _ in recipe.leaves
    }
    for prefix, known in modules.known.items():
        inside = f"{prefix}." if prefix else ""
        if known.channel is not None:
            gates[Sighting("channel", prefix)] = inside + known.channel.path
        if known.spatial is not None:
            gates[Sighting("spatial", prefix)] = inside + known.spatial.path
    return gates


def _trail(forward: WatchedForward, gates: set[str], found: list[Found]) -> frozenset[str]:
    """The modules whose calls tell of another way, if gates may differ or lie elsewhere there.

    Those that were never entered cost nothing until they are. Of the others, following all would
    cost as much as everything else: what matters are those that multiply by what cannot be given,
    resize maps, or return what a gate could be made of. Modules that give gates tell themselves.
    """
    watch, modules = forward.watch, forward.modules
    products: list[Product | Odd] = [*watch.products, *watch.odd]
    multiplying = _outside({product.frame.module for product in products}, modules.known)
    by_gates = {product for one in found for product in one.products}  # their calls tell of these
    odd = {product.frame.module for product in products if product not in by_gates}
    telling = {name for name in watch.calls if isinstance(modules.module(name), _SQUASHING)}
    telling |= _innermost(_outside(forward.resizing, modules.known))
    telling |= _innermost(
        _outside(forward.small, (*modules.known, *gates, *(name for name in multiplying if name)))
    )
    telling |= _outside(odd, modules.known)
    followed = {
        name
        for name in modules.by_name
        if name and name not in gates and (name not in watch.calls or name in telling)
    }
    told = followed | gates
    return frozenset(name for name in followed if not _runs_one_of(modules, name, told))


def _runs_one_of(modules: Modules, name: str, told: set[str]) -> bool:
    """Whether one call more of a `Sequential` is one call more of a module that tells its calls."""
    module = modules.module(name)
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


def _repeatable(forward: WatchedForward) -> bool:
    """Whether a forward that calls the same modules in the same order does the same.

    Not if numbers were read out of tensors, for the code may have asked them for its way; if what
    was recognised hangs on the values of this photo; or where hooks do not see, as in TorchScript
    and in transforms; or see what is not meant.
    """
    watch = forward.watch
    hidden = bool(watch.transformed) or forward.modules.scripted or forward.strayed
    hidden = hidden or any(odd.reason in (FROM_OUTSIDE, ELSEWHERE) for odd in watch.odd)
    return not (watch.asked or watch.by_values or watch.errors or hidden)


def _known_placements(
    forward: WatchedForward,
) -> tuple[dict[Leaf, Cells], dict[Leaf, bool], bool]:
    """Cells and verification of layers of known classes; whether cells hold for any size."""
    cells: dict[Leaf, Cells] = {}
    verified: dict[Leaf, bool] = {}
    fixed = True
    for _, prefix, number, call in known_calls(forward.events):
        known = forward.modules.known[prefix]
        key = (prefix, number)
        channel, spatial = known_gates(known, call)
        node = forward.known_inputs.get((prefix, number))
        if node is not None and spatial is not None:
            size = int(spatial.shape[-2]), int(spatial.shape[-1])
            layout = upright(node.layout)
            cells[key] = cells_of(layout, forward.input_size, size)
            fixed = fixed and holds_for_other_sizes(layout)
        if key in forward.passes:
            verified[key] = forward.passes[key].verified
            continue
        mine = [p for p in forward.watch.products if _call_in(p, prefix) == number]
        seen = {gate.kind: gate.value for p in mine for gate in p.gates}
        verified[key] = all(p.verified for p in mine) and all(
            gate is None or (kind in seen and torch.equal(seen[kind].flatten(), gate.flatten()))
            for kind, gate in (("channel", channel), ("spatial", spatial))
        )
    return cells, verified, fixed


def _by_state(forward: WatchedForward) -> list[Odd]:
    """Products by buffers into which this forward has written what may be gates of its photo."""
    watch = forward.watch
    if not watch.by_buffers:
        return []
    left, told = left_behind(watch), []
    for name, odd in watch.by_buffers:
        holder, _, own = name.rpartition(".")
        now = forward.modules.module(holder)._buffers[own]
        told += [odd] if now is not None and not storages_of([now]).isdisjoint(left) else []
    return told


def _from_elsewhere(forward: WatchedForward) -> list[Odd]:
    """Features that came from outside, in place of those of modules that were never called."""
    watch, modules = forward.watch, forward.modules
    idle = any(
        name not in watch.calls
        and next(modules.module(name).parameters(recurse=False), None) is not None
        for name in modules.by_name
    )
    came = [one for one in watch.outside if idle and len(one.shape) > 2 and one.users]
    return [Odd(one.frame, ELSEWHERE, one, one) for one in came[:1]]


def _call_in(product: Product | Odd, prefix: str) -> int | None:
    return next((f.number for f in product.frame.path() if f.module == prefix), None)


def _checked_recipe(gate: Gate, forward: WatchedForward) -> Recipe | None:
    """A recipe that gives the very gate that was multiplied."""
    recipe = recipe_for(gate.node, forward.outputs, tuple(gate.value.shape[1:]))
    if recipe is None:
        return None
    try:
        again = recipe.gate(forward.leaves)
    except (RuntimeError, TypeError, KeyError):
        return None
    return recipe if torch.equal(again, gate.value) else None


def _working_check(found: Found, forward: WatchedForward) -> Check | None:
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


def _unsupported(forward: WatchedForward) -> tuple[Unsupported, ...]:
    watch, known = forward.watch, forward.modules.known
    inside, passes = watch.inside, forward.passes.values()
    seen = [
        (odd.node.order, odd.frame, odd.reason)
        for odd in watch.odd
        if odd.reason != ONE_CELL or odd.node not in inside
    ]
    seen += [
        (product.node.order, product.frame, reason)
        for product in watch.products
        if product.node not in inside and (reason := _of_sum(product, watch, passes)) is not None
    ]
    unread = set()
    for frame, error in watch.errors:
        if frame not in unread:
            unread.add(frame)
            reason = f"an operation that could not be read ({named(error, 160)})"
            seen.append((frame.serial, frame, reason))
    strange = {frame: order for order, frame in _strangers(forward)}
    seen += [(order, frame, STRANGER) for frame, order in strange.items()]
    told: dict[str, list[str]] = {}
    hidden = {frame for frame in watch.transformed if frame.module in known}
    seen += [(frame.serial, frame, TRANSFORMED) for frame in hidden]
    seen += [
        (product.node.order, product.frame, TRANSFORMED)
        for product in watch.products
        if watch.in_transform(product.frame)
    ]
    for _, frame, seen_as in sorted(seen, key=lambda one: one[0]):
        reason = TRANSFORMED if watch.in_transform(frame) else seen_as
        if (
            frame in hidden
            or frame in strange
            or not any(around.module in known for around in frame.path())
        ):
            reasons = told.setdefault(clean_name(frame.module) or ROOT_NAME, [])
            if reason not in reasons:
                reasons.append(reason)
    return tuple(Unsupported(module, "; ".join(reasons)) for module, reasons in told.items())


def _strangers(forward: WatchedForward) -> Iterator[tuple[int, Frame]]:
    """Calls of layers of known classes in which other gates multiplied too, as in a hook."""
    known = forward.modules.known
    for _, prefix, number, call in known_calls(forward.events):
        own = [_values(gate) for gate in known_gates(known[prefix], call) if gate is not None]
        for product in forward.watch.products:
            if _call_in(product, prefix) != number:
                continue
            gates = [_values(gate.value) for gate in product.gates]
            if not any(torch.equal(gate, one) for gate in gates for one in own):
                frame = next(one for one in product.frame.path() if one.module == prefix)
                yield product.node.order, frame


def _values(gate: Tensor) -> Tensor:
    """In the order of size: a layer may be given features on their side."""
    return gate.flatten().sort().values


def _of_sum(product: Product, watch: Watch, passes: Collection[Pass]) -> str | None:
    """What is told of weights that only serve a sum."""
    meant = role(product)
    if meant == "branches":
        return BRANCHES
    results = {origin(one.node) for one in watch.products}
    results |= {one.node for one in passes if one.node is not None}
    return POOLING if meant != "gate" and origin(product.feature) in results else None


def _never_entered(forward: WatchedForward) -> tuple[str, ...]:
    # A module whose `forward` was called itself is not entered: its parameters tell.
    entered = {clean_name(name) for name in (*forward.watch.calls, *forward.watch.used)}
    return tuple(
        name
        for name in forward.modules.lookalikes
        if name not in entered and not any(other.startswith(name + ".") for other in entered)
    )
