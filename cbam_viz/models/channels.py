"""How many inputs a network takes, of how many channels, by the first of its layers that tells."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from cbam_viz._foreign import kept_apart
from cbam_viz.wrappers import unwrap

_PROBE = 64
"""Side of the empty pictures that are shown to a network of unknown order, in pixels."""


def input_channels(model: nn.Module) -> int:
    """Return how many channels a network's first convolution takes; 3 if it has none.

    The first is the one that runs first: in code of one's own, parts may be made in any order, and
    the first one made may be an attention layer. A forward is begun to see it, and left there.
    """
    root = unwrap(model)
    taken = (getattr(part, "in_channels", 0) for part in root.modules() if _is_convolution(part))
    first: int | None = next(taken, None)
    described = getattr(root, "pretrained_cfg", None)
    by_timm = isinstance(described, Mapping) and "architecture" in described
    if first == 3 or (by_timm and first is not None):
        return first
    if has_lazy_weights(root):  # a forward would make them, of the size of what it was given
        return 3
    kernels = (weight.shape[1] for weight in root.parameters() if weight.ndim == 4)
    return _seen_first(root) or first or next(kernels, 3)


def has_lazy_weights(model: nn.Module) -> bool:
    """Whether layers such as `LazyLinear` wait for a first input to make their weights."""
    return any(map(is_lazy, chain(model.parameters(), model.buffers())))


def _is_convolution(part: nn.Module) -> bool:
    """Whether it is torch's own, or one of those that it puts in their place, as quantised ones."""
    return isinstance(part, nn.Conv2d) or (
        "Conv" in type(part).__name__
        and "2d" in type(part).__name__
        and isinstance(getattr(part, "in_channels", None), int)
    )


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


class _Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees convolutions that are no module's: of functional, scripted, traced or exported code."""

    def __init__(self, seen: list[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.convolution.default and args[1].ndim == 4:
            weight, transposed, groups = args[1], args[6], args[8]
            self._seen.append(weight.shape[0] if transposed else weight.shape[1] * groups)
            raise _SeenError
        return func(*args, **(kwargs or {}))


def _seen_first(root: nn.Module) -> int | None:
    """Return what the first convolution or normalisation to run takes; None if none does."""
    seen: list[int] = []

    def stop(layer: nn.Module, args: Any) -> None:
        taken = getattr(layer, "in_channels", None) or getattr(layer, "num_features", None)
        if isinstance(taken, int):
            seen.append(taken)
            raise _SeenError

    norms = (nn.BatchNorm2d, nn.InstanceNorm2d)
    hooks = [
        part.register_forward_pre_hook(stop)
        for part in root.modules()
        if _is_convolution(part) or isinstance(part, norms)
    ]
    like = next((weight for weight in root.parameters() if weight.is_floating_point()), None)
    device, dtype = ("cpu", torch.float32) if like is None else (like.device, like.dtype)
    try:
        empty = torch.zeros(1, 3, _PROBE, _PROBE, device=device, dtype=dtype)
        with kept_apart(), torch.no_grad(), _Convolutions(seen):
            root.forward(*[empty] * takes_inputs(root))
    except (Exception, SystemExit):  # of the user's own code: whatever it raises, it was left
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return seen[0] if seen else None
