"""How many inputs a network takes, of how many channels, by the first of its layers that tells."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cbam_viz.wrappers import unwrap

_PROBE = 64
"""Side of the empty pictures that are shown to a network of unknown order, in pixels."""


def input_channels(model: nn.Module) -> int:
    """Return how many channels a network's first convolution takes; 3 if it has none.

    The first is the one that runs first: in code of one's own, parts may be made in any order, and
    the first one made may be an attention layer. A forward is begun to see it, and left there.
    """
    root = unwrap(model)
    first = next((part for part in root.modules() if isinstance(part, nn.Conv2d)), None)
    if first is None:
        return 3
    described = getattr(root, "pretrained_cfg", None)
    by_timm = isinstance(described, Mapping) and "architecture" in described
    if first.in_channels == 3 or by_timm:
        return first.in_channels
    return _seen_first(root) or first.in_channels


def takes_inputs(model: nn.Module) -> int:
    """How many inputs a network's forward needs; 1 where that cannot be told."""
    try:
        parameters = inspect.signature(unwrap(model).forward).parameters.values()
    except (TypeError, ValueError):
        return 1
    needed = [
        one
        for one in parameters
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return max(1, len(needed))


class _SeenError(Exception):
    """The layer that was waited for has been called."""


def _seen_first(root: nn.Module) -> int | None:
    """Return what the first convolution or normalisation to run takes; None if none does."""
    seen: list[int] = []

    def stop(layer: nn.Module, args: Any) -> None:
        taken = getattr(layer, "in_channels", None) or getattr(layer, "num_features", None)
        if isinstance(taken, int):
            seen.append(taken)
            raise _SeenError

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.InstanceNorm2d)
    hooks = [
        part.register_forward_pre_hook(stop) for part in root.modules() if isinstance(part, kinds)
    ]
    like = next((weight for weight in root.parameters() if weight.is_floating_point()), None)
    try:
        empty = torch.zeros(1, 3, _PROBE, _PROBE)
        empty = empty if like is None else empty.to(like.device, like.dtype)
        with torch.no_grad():
            root(*[empty] * takes_inputs(root))
    except Exception:  # of the user's own code: whatever it raises, it was left
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return seen[0] if seen else None
