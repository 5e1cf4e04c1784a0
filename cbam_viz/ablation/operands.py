"""Between a gate as it is captured, (B, C) or (B, h, w), and the operand that a network multiplies.

A gate may be expanded, repeated, flattened into tokens, divided by, scaled. `values` reads it as
capture does, `exchanged` makes the operand that stands for another gate: of the same shape, memory
format and dtype, and to the bit the old one wherever the gate is not changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cbam_viz.ablation._capture import base, reduced
from cbam_viz.computation import GateKind, Site
from cbam_viz.errors import CaptureError

_CONSTANT = 2e-6
"""By how much, relative to its size, capture lets a gate that was made large vary."""


def values(operand: Tensor, site: Site, kind: GateKind) -> Tensor:
    """The factor at one site, (B, C) or (B, h, w), in the operand's dtype."""
    found = reduced(operand, kind, site.layout)[1]
    if base(site.name) == "div":
        return 1 / found
    return found if site.scale == 1 else found * site.scale


def is_that_gate(operand: Tensor, site: Site, kind: GateKind) -> bool:
    """Whether the operand is nothing but this gate, also where it was made as large as features."""
    core = _core(operand)
    small, _ = reduced(core, kind, site.layout)
    if small.numel() >= core.numel():
        return True
    return bool(((core - small).abs() <= _CONSTANT * core.abs().max()).all())


def exchanged(operand: Tensor, new: Tensor, site: Site, kind: GateKind) -> Tensor:
    """The operand for the gate `new`, (B, C) or (B, h, w).

    Raises:
        CaptureError: the network has one gate for all photos there, and cannot take several; or
            multiplies it by zero.
    """
    if site.scale == 0:
        raise CaptureError("The network multiplies this gate by zero, so that nothing replaces it.")
    core = _core(operand)
    old = values(core, site, kind)
    kept = _alike(new, old)
    if bool(kept.all()):
        return operand
    raw = 1 / new if base(site.name) == "div" else new / site.scale
    made = _embedded(raw.to(core.dtype), core, site, kind)
    keep = _embedded(kept, core, site, kind)
    full = torch.where(keep, core, made)
    if full.shape == core.shape:
        like = torch.empty_like(core)
        return like.copy_(full).expand(operand.shape)
    if base(site.name) == "bmm" or (site.operand == 0 and site.name.endswith("_")):
        raise CaptureError(
            "This layer has one gate for all photos of the batch, and its code cannot take one for "
            "each. Give the same values for every photo, or one photo at a time."
        )
    return full


def _alike(new: Tensor, old: Tensor) -> Tensor:
    """Where a gate is not changed, at the precision in which gates are captured."""
    one, two = new.to(torch.float32), old.to(torch.float32)
    return (one == two) | (one.isnan() & two.isnan())


def _core(operand: Tensor) -> Tensor:
    """The operand without the dimensions that it was expanded along."""
    for d, stride in enumerate(operand.stride()):
        if stride == 0 and operand.shape[d] > 1:
            operand = operand.narrow(d, 0, 1)
    return operand


def _embedded(value: Tensor, core: Tensor, site: Site, kind: GateKind) -> Tensor:
    """Values of a gate where the operand has them; the inverse of `values`."""
    small, _ = reduced(core, kind, site.layout)
    count = small.numel()
    numbers = torch.arange(count, device=core.device).view(small.shape)
    _, places = reduced(numbers, kind, site.layout)
    flat = value.new_empty(count)
    flat[places.flatten()] = value.expand(places.shape).flatten()
    result = flat.view(small.shape)
    skip = small.ndim - core.ndim
    for d in range(result.ndim):
        size = core.shape[d - skip] if d >= skip else 1
        if result.shape[d] == 1 and size > 1:
            result = result.expand(*(size if k == d else n for k, n in enumerate(result.shape)))
        elif result.shape[d] > size == 1:
            first = result.narrow(d, 0, 1)
            result = first if bool((result == first).all()) else result
    while skip > 0 and result.shape[0] == 1:
        result, skip = result[0], skip - 1
    return result
