"""Building a network on trial, without memory for its weights, to see whether a file fits it.

What to build may be the word of whoever made the file: a giant is refused while it is being built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from cbam_viz.errors import ModelError

MAX_TENSORS = 12_000
"""Tensors made on trial; timm's deepest network with CBAM in all blocks makes some 5,000."""

_MAKES = frozenset(
    {
        torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor, torch.rand, torch.randn,
        torch.arange, torch.linspace, torch.eye,
    }
)  # fmt: skip


class _Counted(TorchFunctionMode):
    """Counts the tensors that this thread makes."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _MAKES:
            self.made += 1
            if self.made > MAX_TENSORS:
                raise ModelError(f"the network would have more than {MAX_TENSORS:,} tensors")
        return func(*args, **(kwargs or {}))


@contextmanager
def on_trial() -> Iterator[None]:
    """Let networks be built in this block on torch's meta device, and none of absurdly many parts.

    Raises
    ------
    ModelError
        More than `MAX_TENSORS` tensors are made in the block.
    """
    with torch.device("meta"), _Counted():
        yield
