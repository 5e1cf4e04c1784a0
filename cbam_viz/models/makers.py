"""Which operation made a tensor, seen while a network runs."""

from __future__ import annotations

from typing import Any

from torch import Tensor
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
