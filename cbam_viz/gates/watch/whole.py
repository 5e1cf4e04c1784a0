"""Torch's own plain modules, noted as a whole: convolution, BatchNorm, activation.

What such a module does is known from its class and from what it keeps. While it runs, the watch
looks away, and afterwards writes down the very operations that it would have seen: to watch each
takes as long as all the rest of a first capture.

Only where no other code can run: classes and functions are torch's own (or timm's), nothing but
our hooks is put on the module, no mode but ours is on, and all tensors are plain ones on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C import _len_torch_function_stack
from torch.nn import functional

from ..model.aside import innermost_mode
from ..model.timm_layers import runs_librarys


class Operation(NamedTuple):
    """One operation, on what the one before gave and on these arguments."""

    name: str
    func: Any
    weights: tuple[Tensor | None, ...] = ()
    rest: tuple[Any, ...] = ()
    first: Any = None
    """Another one that torch runs before, of which nothing is made."""


Rule = Callable[[dict[str, Any]], tuple[Operation, ...] | None]
"""From what a module keeps to the operations of its forward; None if they are others."""
Rules = Mapping[type, Rule]

_ATEN = torch.ops.aten


def rules() -> Rules:
    """How modules are noted as a whole, by class; none if somebody has replaced torch's functions.

    To be asked at each forward, as classes and functions can be replaced at any time.
    """
    if not all(_is_torchs(place, name) for place, name in _FUNCTIONS):
        return {}
    timm = sys.modules.get("timm.layers.norm_act")
    known = _RULES if timm is None else {**_RULES, timm.BatchNormAct2d: _normalised_and_activated}
    return {kind: rule for kind, rule in known.items() if runs_librarys(kind, *_METHODS)}


def operations(
    module: nn.Module, args: tuple[Any, ...], mode: object, known: Rules
) -> tuple[Operation, ...] | None:
    """What this call does, with `mode` watching; None if it is to be watched."""
    rule = known.get(type(module))
    plain = rule is not None and len(args) == 1 and _is_plain(args[0]) and _is_untouched(module)
    if rule is None or not plain or not _sees_all(mode):
        return None
    try:
        done = rule(module.__dict__)
    except (LookupError, TypeError):  # it does not keep what its class does
        return None
    if done is None or not all(map(_is_known, (one for op in done for one in op.weights))):
        return None
    return done


def _is_plain(value: object) -> bool:
    """Whether operations on this tensor, (B, C, H, W), are those noted here."""
    return (
        type(value) is Tensor
        and value.ndim == 4
        and value.is_cpu
        and value.layout is torch.strided
        and value.is_floating_point()
        and not (value.is_nested or torch.is_autocast_enabled("cpu"))
    )


def _is_known(weight: object) -> bool:
    return weight is None or type(weight) in (nn.Parameter, Tensor)


def _sees_all(mode: object) -> bool:
    alone = torch._C._len_torch_dispatch_stack() == 1 and not _len_torch_function_stack()
    return alone and innermost_mode() is mode


def _is_untouched(module: nn.Module) -> bool:
    """No hook but ours, one before it and one after it, and no method of its own."""
    there = module.__dict__
    return (
        len(there["_forward_hooks"]) == len(there["_forward_pre_hooks"]) == 1
        and not (there["_backward_hooks"] or there["_backward_pre_hooks"])
        and _METHODS.isdisjoint(there)
    )


def _is_torchs(place: Any, name: str) -> bool:
    function = getattr(place, name)
    if type(function) is FunctionType:
        return bool(function.__globals__["__name__"] == functional.__name__)
    return type(function) is BuiltinFunctionType


_FUNCTIONS = (
    *((functional, n) for n in ("conv2d", "batch_norm", "relu", "relu6", "silu", "hardswish")),
    *((torch, n) for n in ("batch_norm", "relu", "relu_", "sigmoid")),
)
"""What the forwards of these classes call."""
_METHODS = frozenset(("forward", "_conv_forward", "_check_input_dim"))


def _convolved(there: dict[str, Any]) -> tuple[Operation, ...] | None:
    weight, bias = _weights(there, "_parameters", "weight", "bias")
    sizes = there["stride"], there["padding"], there["dilation"]
    if weight is None or there["padding_mode"] != "zeros" or {*map(type, sizes)} != {tuple}:
        return None
    rest = (*map(list, sizes), False, [0, 0], there["groups"])
    return (Operation("convolution", _ATEN.convolution.default, (weight, bias), rest),)


def _normalised(there: dict[str, Any]) -> tuple[Operation, ...] | None:
    """By statistics that it keeps; those of the batch are told by what is watched."""
    means, variances = _weights(there, "_buffers", "running_mean", "running_var")
    if there["training"] or means is None or variances is None:
        return None
    weights = (*_weights(there, "_parameters", "weight", "bias"), means, variances)
    rest = (False, 0.0 if there["momentum"] is None else there["momentum"], there["eps"])
    func, first = _ATEN.native_batch_norm.default, _ATEN.empty.memory_format
    return (Operation("native_batch_norm", func, weights, rest, first),)


def _normalised_and_activated(there: dict[str, Any]) -> tuple[Operation, ...] | None:
    """Timm's BatchNormAct2d."""
    drop, act = there["_modules"].get("drop"), there["_modules"].get("act")
    first, rule = _normalised(there), _ACTIVATIONS.get(type(act))
    if not (type(drop) is nn.Identity and _is_untouched(drop) and first is not None):
        return None
    if rule is None or not _is_untouched(act):
        return None
    return first + rule(act.__dict__)


def _weights(there: dict[str, Any], table: str, *names: str) -> tuple[Tensor | None, ...]:
    return tuple([there[table].get(name) for name in names])


def _activated(name: str, *rest: Any) -> Callable[[dict[str, Any]], tuple[Operation, ...]]:
    apart = (Operation(name, getattr(_ATEN, name).default, (), rest),)
    written = getattr(_ATEN, f"{name}_").default
    in_place = (Operation(f"{name}_", written, (), rest),)
    return lambda there: in_place if there.get("inplace") else apart


_ACTIVATIONS: dict[type, Callable[[dict[str, Any]], tuple[Operation, ...]]] = {
    nn.Identity: lambda there: (),
    nn.ReLU: _activated("relu"),
    nn.ReLU6: _activated("hardtanh", 0.0, 6.0),
    nn.SiLU: _activated("silu"),
    nn.Hardswish: _activated("hardswish"),
    nn.Sigmoid: _activated("sigmoid"),
}
_RULES: dict[type, Rule] = {
    nn.Conv2d: _convolved,
    nn.BatchNorm2d: _normalised,
    **{kind: rule for kind, rule in _ACTIVATIONS.items() if kind is not nn.Identity},
}
