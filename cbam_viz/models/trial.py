"""Building a network on trial, without memory for its weights, to see whether a file fits it.

What to build may be the word of whoever made the file: a giant is refused while it is being built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError, ModelError
from cbam_viz.models.channels import input_channels

MAX_OPERATIONS = 100_000_000_000
"""Multiplications of one forward at an input size that a file states: some 5 seconds on one core.
ResNet-50 at 1024 x 1024 pixels has 86 billion."""
MAX_ACTIVATION = 64 * 1024**2
"""Numbers in one layer's output at that size: 256 MB."""
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

    Raises:
        ModelError: more than `MAX_TENSORS` tensors are made in the block.
    """
    with torch.device("meta"), _Counted():
        yield


def refuse_giant_forward(model: nn.Module, size: tuple[int, int]) -> None:
    """Refuse an input size at which a forward would take too long or too much memory.

    `model` was built on trial: the forward runs on shapes alone, in milliseconds.

    Raises:
        CheckpointError: the network does not run at `size`, or would exceed the limits above.
    """
    asked = f"an input of {size[0]} x {size[1]} pixels, which the file's description asks for"
    operations = 0

    def count(layer: nn.Module, args: Any, output: Any) -> None:
        nonlocal operations
        if isinstance(output, Tensor) and output.numel() > MAX_ACTIVATION:
            raise _TooMuchError
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            operations += output.numel() * layer.weight[0].numel()
        if operations > MAX_OPERATIONS:
            raise _TooMuchError

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    try:
        with torch.no_grad():
            model(torch.zeros(1, input_channels(model), *size, device="meta"))
    except _TooMuchError as error:
        raise CheckpointError(
            f"At {asked}, this network would need more than {MAX_OPERATIONS / 1e9:.0f} billion "
            f"multiplications or {MAX_ACTIVATION * 4 / 1e6:.0f} MB for one layer's output. Give "
            "the file a smaller input_size."
        ) from error
    except Exception as error:
        raise CheckpointError(
            f"The network does not run on {asked} ({shortened(str(error), 150)})."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()


class _TooMuchError(Exception):
    """A limit was met within a forward."""
