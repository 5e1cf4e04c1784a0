"""The layers of a plan's forwards, all but their gates: those alone differ from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...attention import Attention, LayerAttention, Unsupported
from .forward import PlannedForward


class Gates(NamedTuple):
    """The gates of one call of one layer, copies that nobody else has."""

    channel: Tensor | None
    """(B, C), float32, on the CPU, as is the map."""
    spatial: Tensor | None
    """(B, h, w)."""
    dtype: torch.dtype
    """In which they were multiplied."""


@dataclass(frozen=True)
class Draft:
    """A layer whose gates are still to come."""

    layer: LayerAttention
    """With no gates yet."""
    gates: Callable[[PlannedForward], Gates]
    """How they are read."""
    size: tuple[int, ...] | None
    """Of the map, whose cells lie where they do as long as it is the same."""


@dataclass(frozen=True)
class Drafts:
    """All layers of a plan's forwards on inputs of one size."""

    input_size: tuple[int, int]
    layers: tuple[Draft, ...]
    unsupported: tuple[Unsupported, ...]
    not_called: tuple[str, ...]

    def filled(self, forward: PlannedForward, output: Any) -> Attention | None:
        """The result of a forward that went the plan's way; None if its maps have other sizes."""
        if forward.input_size != self.input_size:
            return None
        layers: dict[str, LayerAttention] = {}
        for draft in self.layers:
            channel, spatial, dtype = draft.gates(forward)
            if spatial is not None and spatial.shape[1:] != draft.size:
                return None
            layers[draft.layer.name] = draft.layer.with_gates(channel, spatial, dtype)
        return Attention(layers, output, self.input_size, self.unsupported, self.not_called)
