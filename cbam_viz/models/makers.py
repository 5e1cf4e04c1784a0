"""Which operation made a tensor, seen while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_SMALL = 100_000
"""Larger tensors are not kept: one that is looked for is a row of scores."""
_MOVES = frozenset(
    """
    _to_copy _unsafe_view alias clone contiguous detach expand flatten reshape select slice
    squeeze to unsqueeze view
    """.split()  # noqa: SIM905
)
"""Operations that leave the numbers as they are."""


class OperationWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which operation made each small tensor, in this thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made: dict[int, tuple[Tensor, str]] = {}
        """By identity, which stays unique as long as the tensor is held."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.numel() <= _SMALL:
            name = func.overloadpacket.__name__
            if name in _MOVES and isinstance(args[0], Tensor):
                name = self.maker(args[0])
            self._made[id(result)] = result, name
        return result

    def maker(self, tensor: Tensor) -> str:
        """Return the name of the operation, such as `sigmoid`; empty if it was not seen."""
        return self._made.get(id(tensor), (tensor, ""))[1]


_Parts = tuple[tuple[int, type[nn.Module]], ...]
_makers: WeakKeyDictionary[nn.Module, tuple[_Parts, dict[int, str]]] = WeakKeyDictionary()
"""By network the makers of its outputs, and the parts that it had then: somebody may put others in
their place."""


def makers_of(model: nn.Module, run: Callable[[], Sequence[Tensor]]) -> dict[int, str]:
    """Return the operation that made each tensor that `run` gives, by its place.

    `run` runs the network, once as long as it has the same parts. Nothing is known where it fails.
    """
    parts = tuple((id(part), type(part)) for part in model.modules())
    known = _makers.get(model)
    if known is None or known[0] != parts:
        with OperationWatch() as watch:
            try:
                tensors = run()
            except Exception:  # the user's own code, which may not bear being watched
                tensors = []
        known = parts, {place: watch.maker(one) for place, one in enumerate(tensors)}
        _makers[model] = known
    return known[1]
