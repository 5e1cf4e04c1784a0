"""The layers that a forward showed, each with its gates, by whichever of the three ways.

Layers of known classes are read by hooks at every forward; all others from the products that
watching saw, or, in a forward by a plan, from recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..attention import (
    Cells,
    ChannelBranches,
    Composition,
    FoundBy,
    LayerFeatures,
    SpatialDescriptors,
)
from ..computation import Computation
from ..wrappers import clean_name
from .layout.cells import even_cells
from .model.copies import own, plain_copy
from .model.modules import Modules
from .model.timm_layers import KnownCall, KnownLayer, known_calls, known_gates
from .plan.drafts import Gates
from .plan.forward import PlannedForward
from .plan.plan import LayerPlan, Plan
from .plan.recipes import Recipe
from .watch.computation import computation_in, computation_of
from .watch.descent import branches_of, descriptors_of
from .watch.forward import WatchedForward, cells_on_input, layers_of
from .watch.pairing import Found, weights_of

Forward = WatchedForward | PlannedForward


class Changed(Exception):  # noqa: N818
    """The network went another way than in the forward that was watched."""


def _nothing() -> None:
    return None


@dataclass(frozen=True, eq=False)
class Reading:
    """One call of one layer."""

    order: int
    """Its place among all that were read in the same forward."""
    module: str
    call: int
    gates: Gates
    cells: Cells | None
    composition: Composition
    found_by: FoundBy
    verified: bool
    weights: tuple[str, ...]
    again: Callable[[PlannedForward], Gates] | None = None
    """How its gates are read in the plan's next forward."""
    branches: Callable[[], ChannelBranches | None] = _nothing
    """What else there is to be had, made when it is asked for."""
    descriptors: Callable[[], SpatialDescriptors | None] = _nothing
    features: Callable[[], LayerFeatures | None] = _nothing
    computation: Callable[[], Computation | None] = _nothing


def readings(modules: Modules, plan: Plan, forward: Forward) -> list[Reading]:
    """All layers of a forward, in the order of execution.

    Raises:
        Changed: it went another way than its plan.
    """
    if isinstance(forward, WatchedForward):
        found = [_watched(one, forward) for one in layers_of(forward)]
    else:
        found = [_planned(layer, plan, forward) for layer in plan.layers]
    return sorted([*found, *_hooked(modules, plan, forward)], key=lambda one: one.order)


def _planned_order(plan: Plan, found_by: FoundBy, module: str, call: int) -> int:
    order = plan.order.get((found_by, module, call))
    if order is None:
        raise Changed(module)
    return order


def _hooked(modules: Modules, plan: Plan, forward: Forward) -> Iterator[Reading]:
    """Layers of known classes."""
    watched = forward if isinstance(forward, WatchedForward) else None
    for first, prefix, number, call in known_calls(forward.events):
        known = modules.known[prefix]
        if watched:
            order = watched.times[first]
        else:
            order = _planned_order(plan, "hook", known.name, number)
        channel, spatial = known_gates(known, call)
        composition: Composition = "channel then spatial"
        if channel is None or spatial is None:
            composition = "spatial" if channel is None else "channel"
        cells = None
        if spatial is not None:
            size = int(spatial.shape[-2]), int(spatial.shape[-1])
            cells = plan.cells.get((prefix, number)) or even_cells(forward.input_size, size)
        yield Reading(
            order=order,
            module=known.name,
            call=number,
            gates=_own_gates(channel, spatial),
            cells=cells,
            composition=composition,
            found_by="hook",
            verified=plan.verified.get((prefix, number), False),
            weights=known.weights,
            again=None if watched else _reader(known, call, forward),
            branches=partial(_hooked_branches, call),
            descriptors=partial(_hooked_descriptors, call),
            features=partial(_hooked_features, call),
            computation=partial(computation_in, watched, prefix, number) if watched else _nothing,
        )


def _own_gates(channel: Tensor | None, spatial: Tensor | None) -> Gates:
    """Of a layer of a known class, in the shapes that it gives them."""
    some = spatial if channel is None else channel
    assert some is not None
    return Gates(
        None if channel is None else own(channel.flatten(1)),
        None if spatial is None else own(spatial.select(1, 0)),
        some.dtype,
    )


def _reader(
    known: KnownLayer, call: KnownCall, forward: Forward
) -> Callable[[PlannedForward], Gates]:
    """Reads the gates of this call in another forward of the same way, where they come as here."""
    at = {id(copy): k for k, (_, copy) in enumerate(forward.events)}
    places = {part: at[id(call[part][0])] for part in ("channel", "spatial") if part in call}
    first, second = places.get("channel"), places.get("spatial")
    raw = [one for one in (known.channel, known.spatial) if one is not None and one.sigmoid]

    def read(forward: PlannedForward) -> Gates:
        events = forward.events
        channel = None if first is None else events[first][1]
        spatial = None if second is None else events[second][1]
        if raw:
            seen = {"channel": channel, "spatial": spatial}
            channel, spatial = known_gates(
                known, {part: [copy] for part, copy in seen.items() if copy is not None}
            )
        return _own_gates(channel, spatial)

    return read


def _hooked_branches(call: KnownCall) -> ChannelBranches | None:
    seen = call.get("branches", [])
    return ChannelBranches(*(own(one.flatten(1)) for one in seen)) if len(seen) == 2 else None


def _hooked_descriptors(call: KnownCall) -> SpatialDescriptors | None:
    if "descriptors" not in call:
        return None
    return SpatialDescriptors(*(plain_copy(call["descriptors"][0][:, k]) for k in (0, 1)))


def _hooked_features(call: KnownCall) -> LayerFeatures | None:
    if "before" not in call or "after" not in call:
        return None
    between = own(call["between"][0]) if "between" in call else None
    return LayerFeatures(own(call["before"][0]), between, own(call["after"][0]))


def _watched(found: Found, forward: WatchedForward) -> Reading:
    """A layer that its products show."""
    gate = found.channel or found.spatial
    assert gate is not None
    return Reading(
        order=found.products[0].node.order,
        module=clean_name(found.module),
        call=found.call,
        gates=Gates(
            None if found.channel is None else plain_copy(found.channel.value),
            None if found.spatial is None else plain_copy(found.spatial.value),
            gate.value.dtype,
        ),
        cells=cells_on_input(found, forward),
        composition=found.composition,
        found_by="watch",
        verified=all(product.verified for product in found.products),
        weights=tuple(map(clean_name, weights_of(found))),
        branches=partial(branches_of, found, forward.watch),
        descriptors=partial(descriptors_of, found, forward.watch),
        features=partial(_watched_features, found),
        computation=partial(computation_of, found, forward.watch),
    )


def _watched_features(found: Found) -> LayerFeatures | None:
    first, last = found.products[0], found.products[-1]
    if first.before is None or last.after is None:
        return None
    after, between = last.after, None
    if found.composition == "parallel" and len(found.products) == 2:
        after = torch.stack([p.after for p in found.products if p.after is not None]).sum(0)
    elif last is not first:
        between = first.after
    return LayerFeatures(
        plain_copy(first.before),
        None if between is None else plain_copy(between),
        plain_copy(after),
    )


def _planned(layer: LayerPlan, plan: Plan, forward: PlannedForward) -> Reading:
    """A layer of an unknown class from its leaves' copies."""
    module = clean_name(layer.module)
    return Reading(
        gates=_planned_gates(layer, forward),  # first: it says if they are not there
        order=_planned_order(plan, "watch", module, layer.call),
        module=module,
        call=layer.call,
        cells=layer.cells,
        composition=layer.composition,
        found_by="watch",
        verified=layer.verified,
        weights=tuple(map(clean_name, layer.weights)),
        again=partial(_planned_gates, layer),
    )


def _given(recipe: Recipe | None, gate: Tensor) -> Tensor | None:
    if recipe is None:
        return None
    return own(gate) if recipe.makes else plain_copy(gate)


def _planned_gates(layer: LayerPlan, forward: PlannedForward) -> Gates:
    """The gates, if they still explain what the layer's surroundings show."""
    try:
        gates = [recipe.gate(forward.leaves) for recipe in layer.recipes]
        holds = layer.check is not None and layer.check.holds(forward.samples, gates)
    except (KeyError, TypeError, RuntimeError) as error:  # not there, or of another shape
        raise Changed(layer.key) from error
    if not holds:
        raise Changed(layer.key)
    return Gates(_given(layer.channel, gates[0]), _given(layer.spatial, gates[-1]), gates[0].dtype)
