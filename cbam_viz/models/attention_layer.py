"""The attention layer that a network is built with, whatever form the user gives it in."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from timm.layers import get_act_layer, get_attn
from torch import nn

from cbam_viz._text import quoted
from cbam_viz.errors import ModelError

AttentionLike = str | type[nn.Module] | Callable[..., nn.Module]
"""`"cbam"`, `"lcbam"` or another name that timm knows, a layer class, or a partial of one."""

_FAMILY_HINTS = ("device", "dtype", "act_layer", "rd_ratio", "rd_channels", "rd_divisor")
"""Keyword arguments that families pass to their attention layers; a layer need not take them."""


class LayerFactory:
    """Builds attention layers for one network and remembers which it built.

    timm's families call it as they would call a layer class: `factory(channels, **hints)`.
    `options` win over a family's own hints, so that the reduction ratio of a checkpoint can be
    met in families that prescribe one.
    """

    def __init__(self, layer: Callable[..., nn.Module], options: Mapping[str, Any]) -> None:
        self.layer = layer
        self.options = dict(options)
        self.made: list[nn.Module] = []
        self._refused = frozenset(_FAMILY_HINTS) - _accepted_keywords(layer)

    def __call__(self, channels: int, **hints: Any) -> nn.Module:
        """Build one layer for features of `channels` channels."""
        if isinstance(hints.get("act_layer"), str):
            hints["act_layer"] = get_act_layer(hints["act_layer"])
        given = {key: value for key, value in hints.items() if key not in self._refused}
        module = self.layer(channels, **{**given, **self.options})
        self.made.append(module)
        return module

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerFactory:
        """Stay one: families that copy their configuration must not split the record."""
        return self

    def layers_in(self, model: nn.Module) -> int:
        """Count the layers built here that are part of `model` (some are only trials)."""
        inside = {id(module) for module in model.modules()}
        return sum(id(module) in inside for module in self.made)


def layer_factory(attention: AttentionLike, options: Mapping[str, Any]) -> LayerFactory:
    """Return a factory of `attention` layers; `options` are passed to each.

    Raises:
        ModelError: timm knows no attention layer of that name.
    """
    if not isinstance(attention, str):
        if not callable(attention) or isinstance(attention, nn.Module):
            raise ModelError(
                f"attention must be a name such as 'cbam', a layer class or a partial of one, "
                f"not {type(attention).__name__}."
            )
        return LayerFactory(attention, options)
    try:
        layer = get_attn(attention)
    except AssertionError:
        layer = None
    if layer is None:
        raise ModelError(
            f"There is no attention layer named {quoted(attention)}. "
            "Use 'cbam' or 'lcbam', a layer class, or attention=None for the plain network."
        )
    return LayerFactory(layer, options)


def _accepted_keywords(layer: Callable[..., nn.Module]) -> frozenset[str]:
    bound = layer.keywords if isinstance(layer, functools.partial) else {}
    try:
        parameters = inspect.signature(layer).parameters
    except (TypeError, ValueError):
        return frozenset(_FAMILY_HINTS)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return frozenset(_FAMILY_HINTS)
    return frozenset(parameters) - frozenset(key for key in bound if key.startswith("rd_"))
