"""What a forward's way through the network may depend on, besides values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..layout.inputs import parts_of
from ..model.modules import Modules
from ..model.survey import Survey
from ..model.switches import put_on_all, switch


@dataclass(frozen=True)
class Signature:
    """What a forward's way through the network may depend on, besides values."""

    inputs: Any
    """Shapes of tensors and what else code asks of them; the other arguments as they are."""
    around: Any
    """Autocast, each module's mode, hooks on all modules, what modules keep and code names."""


def signature_of(
    modules: Modules, args: tuple[Any, ...], kwargs: dict[str, Any], seen: Survey
) -> Signature:
    """What this forward's way through the network may depend on, besides values."""
    autocast = tuple(
        (torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None)
        for kind in ("cpu", "cuda")
    )
    switches = modules.switches.now(seen.put_on)
    around = (autocast, seen.training, put_on_all(), switches)
    return Signature((_described(args), _described(kwargs)), around)


def settled(modules: Modules, signature: Signature) -> Signature:
    """After its forward was watched: without what forwards only collect."""
    *rest, switches = signature.around
    return Signature(signature.inputs, (*rest, modules.switches.settled(switches)))


def _described(value: Any) -> Any:  # noqa: PLR0911
    if isinstance(value, np.ndarray):
        return ("array", value.shape, str(value.dtype), "cpu")
    if isinstance(value, Tensor) and value.is_nested:
        return ("nested", *(_described(part) for part in value.unbind()))
    if isinstance(value, Tensor):
        asked = (value.layout is torch.strided and value.is_contiguous(), value.requires_grad)
        return ("tensor", tuple(value.shape), value.dtype, (value.device.type, *asked))
    if isinstance(value, Mapping):
        return tuple((str(key), _described(item)) for key, item in value.items())
    if isinstance(value, (int, float, str, bool, type(None))):
        return value
    if isinstance(value, (bytes, Enum, np.generic, set, frozenset, SimpleNamespace)):
        return switch(value)
    return (type(value).__name__, *(_described(part) for part in parts_of(value)))


def without_sizes(described: Any) -> Any:
    """What was said of inputs, less the sizes of tensors and arrays."""
    if isinstance(described, tuple):
        if len(described) == 4 and described[0] in ("tensor", "array"):
            return (described[0], len(described[1]), *described[2:])
        return tuple(without_sizes(item) for item in described)
    return described
