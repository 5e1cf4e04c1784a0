"""From what a forward showed to the result."""

from __future__ import annotations

import math
from typing import Any

from ..attention import Attention, FoundBy, LayerAttention
from ..errors import CaptureError, NoAttentionError
from .layout.cells import overhang
from .model.names import call_key
from .model.wanted import Wanted
from .plan.drafts import Draft, Drafts
from .plan.forward import PlannedForward
from .plan.plan import Plan
from .plan.table import Table
from .readings import Changed, Forward, Reading, readings


def attention_of(
    table: Table, plan: Plan, forward: Forward, output: Any, wanted: Wanted
) -> Attention:
    """The result of one forward, which gave `output`, by its plan or by what was learnt of it.

    Raises:
        Changed: it went another way than its plan.
        NoAttentionError: the network gates no feature map.
        CaptureError: none of its attention layers ran.
    """
    planned = forward if isinstance(forward, PlannedForward) else None
    if planned is not None:
        if plan.way != tuple(planned.way):
            raise Changed
        drafts = None if wanted.extras else table.drafts(plan)
        attention = None if drafts is None else drafts.filled(planned, output)
        if attention is not None:
            return attention
    layers = _named(readings(table.modules, plan, forward))
    named = {name: _layer(name, one, table, wanted) for name, one in layers.items()}
    ran = {layer.module for layer in named.values()} | {one.module for one in plan.unsupported}
    known = [layer.name for layer in table.modules.known.values()]
    never = tuple(name for name in dict.fromkeys((*known, *plan.not_called)) if name not in ran)
    _demand_some(named, plan, never)
    attention = Attention(named, output, forward.input_size, plan.unsupported, never)
    if planned is not None:
        _demand_places(plan, attention)
        if not wanted.extras:
            table.keep_drafts(plan, _drafts(layers, attention))
    return attention


def overhangs(attention: Attention) -> dict[str, tuple[float, float]]:
    """How far each layer's cells reach beyond the input."""
    return {
        name: overhang(layer.cells, layer.spatial.shape, attention.input_size)
        for name, layer in attention.items()
        if layer.cells is not None and layer.spatial is not None
    }


def order_of(attention: Attention) -> dict[tuple[FoundBy, str, int], int]:
    """When each layer ran, by how it is found, its module and its call."""
    return {(one.found_by, one.module, one.call): k for k, one in enumerate(attention.values())}


def _demand_places(plan: Plan, attention: Attention) -> None:
    """Raises Changed if a map has another size than its way through the network would give."""
    for name, now in overhangs(attention).items():
        then = plan.overhangs.get(name, (math.inf, math.inf))
        if not all(abs(a - b) < 1 for a, b in zip(now, then, strict=True)):
            raise Changed(name)


def _named(layers: list[Reading]) -> dict[str, Reading]:
    """By name; a call whose name is that of another module, or taken, gets the next free number."""
    modules = {layer.module for layer in layers}
    named: dict[str, Reading] = {}
    for layer in layers:
        number = layer.call
        name = call_key(layer.module, number)
        while name in named or (number > 1 and name in modules):
            number += 1
            name = call_key(layer.module, number)
        named[name] = layer
    return named


def _layer(name: str, seen: Reading, table: Table, wanted: Wanted) -> LayerAttention:
    """The one place where a layer of a result is made, however it was read."""
    stage, block = table.place(seen.module, seen.weights, known=seen.found_by == "hook")
    return LayerAttention(
        name=name,
        module=seen.module,
        call=seen.call,
        stage=stage,
        block=block,
        **seen.gates._asdict(),
        cells=seen.cells,
        composition=seen.composition,
        found_by=seen.found_by,
        verified=seen.verified,
        weights=seen.weights,
        branches=seen.branches() if wanted.branches else None,
        descriptors=seen.descriptors() if wanted.descriptors else None,
        features=seen.features() if wanted.features_of(name) else None,
        computation=seen.computation() if wanted.steps_of(name) else None,
    )


def _drafts(seen: dict[str, Reading], attention: Attention) -> Drafts:
    """What is known of the layers in the plan's next forward before it has run."""
    drafts = [
        Draft(
            layer.with_gates(None, None, layer.dtype),
            again,
            None if layer.spatial is None else layer.spatial.shape[1:],
        )
        for name, layer in attention.items()
        if (again := seen[name].again) is not None
    ]
    return Drafts(attention.input_size, tuple(drafts), attention.unsupported, attention.not_called)


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
        "channel or spatial attention to show.",
        "Make a model that does with cbam_viz.create_model(name), or put CBAM into this one with "
        "cbam_viz.insert_cbam(model).",
    )
