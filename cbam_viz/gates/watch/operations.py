"""Which operations a forward runs: enough to tell whether another one does the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType, FunctionType
from typing import Any

import torch
from torch import Tensor
from torch._C._dynamo.eval_frame import reset_code
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode
from torch.utils._pytree import tree_map_only

_aten = torch.ops.aten
_WINDOWS = frozenset(
    (_aten.convolution.default, _aten.max_pool2d_with_indices.default, _aten.avg_pool2d.default)
)
"""Their windows and strides place cells, and may hang on the size of the input."""


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which operations run while it is on, and nothing else: at microseconds for each."""

    supports_higher_order_operators = True

    def __init__(self, sequence: list[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sequence = sequence

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and note it."""
        out = in_parts(self, func, args, kwargs or {})
        if out is NotImplemented:
            out = func(*args, **(kwargs or {}))
            self.sequence.append(noted(func, args, out))
        return out


def noted(func: Any, args: tuple[Any, ...], out: Any) -> Any:
    """What is noted of one operation: itself; of windows smaller than the whole map, these too."""
    if func not in _WINDOWS:
        return func
    result = out[0] if isinstance(out, tuple) else out
    if result.shape[-2:].numel() == 1:
        return func
    return func, repr([one for one in args if not isinstance(one, Tensor)])


COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
"""The compositions of C++: `func.decompose` prefers Python's, which round otherwise (bilinear
interpolation does), and the network's output must not change."""

_composite: dict[Any, bool] = {}


def is_composite(func: Any) -> bool:
    """Under inference mode whole compositions arrive; only their parts can be understood."""
    known = _composite.get(func)
    if known is None:
        try:
            known = hasattr(func, "decompose") and torch._C._dispatch_has_kernel_for_dispatch_key(
                func.name(), "CompositeImplicitAutograd"
            )
        except RuntimeError:  # no operator of a library: prim::device
            known = False
        _composite[func] = known
    return known


def in_parts(
    mode: TorchDispatchMode, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What a composition gives if `mode` meets its parts; NotImplemented if `func` is none.

    So are operators that call functions of the network's, as `torch.cond` does.
    """
    if isinstance(func, HigherOrderOperator):
        watched = tree_map_only(FunctionType, partial(_under, mode), (args, kwargs))
        args, kwargs = tree_map_only(torch.nn.Module, partial(_under, mode), watched)
        try:
            return func(*args, **kwargs)
        finally:
            _let_compile_again()
    if not is_composite(func):
        return NotImplemented
    _push_mode(mode)  # it has only been set aside while it sees this operation
    try:
        return func._op_dk(COMPOSITE, *args, **kwargs)
    finally:
        _pop_mode()


def _let_compile_again() -> None:
    """Torch compiles what calls such an operator, and once it has met it under a mode, never again.

    Then the network could not run without one: what it has noted of the caller is taken off.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_back is not None:
        if frame.f_back.f_code.co_name == "compile_wrapper":
            reset_code(frame.f_code)
        frame = frame.f_back


def _under(mode: TorchDispatchMode, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run while `mode` is on."""

    def run(*args: Any, **kwargs: Any) -> Any:
        _push_mode(mode)
        try:
            return function(*args, **kwargs)
        finally:
            _pop_mode()

    return run
