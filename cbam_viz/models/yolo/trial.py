"""What a forward of a rebuilt network costs, found on shapes alone before it is run.

Attributes of a file decide how large a padding, an enlarged map or a loop is. The forward is run on
torch's meta device, where tensors have no numbers, with everything counted that a real one would
compute, hold and call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError

MAX_OPERATIONS = 1_500_000_000_000
"""Multiplications and additions of one forward; the largest YOLO at 1280 pixels has 1.2 * 10^12,
at 640 a quarter of that."""
MAX_BYTES = 4 * 1024**3
"""Held at one time, weights aside."""
MAX_CALLS = 100_000
"""Of operations and of modules; the largest YOLO has some 3,000."""


class _TooMuchError(Exception):
    """A limit was met within a forward; the text is the part of a sentence."""


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations, calls and the memory of results that are still needed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations = 0
        self._calls = 0
        self._held: dict[int, tuple[Any, int]] = {}
        self._bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.call()
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        counted = flop_registry.get(func._overloadpacket)
        work = counted(*args, **(kwargs or {}), out_val=result) if counted else 0
        self._operations += work + sum(one.numel() for one in tensors)
        if self._operations > MAX_OPERATIONS:
            raise _TooMuchError(f"more than {MAX_OPERATIONS / 1e9:,.0f} billion operations")
        for one in tensors:
            self._hold(one)
        return result

    def call(self) -> None:
        """Count a call of a module or an operation."""
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise _TooMuchError(f"more than {MAX_CALLS:,} calls")

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        reference: Any = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        known = self._held.get(reference.cdata)
        if known is not None and not known[0].expired():
            return
        self._held[reference.cdata] = reference, storage.nbytes()
        self._bytes += storage.nbytes()
        if self._bytes > MAX_BYTES:  # with all that is gone meanwhile
            self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
            self._bytes = sum(size for _, size in self._held.values())
        if self._bytes > MAX_BYTES:
            raise _TooMuchError(f"more than {MAX_BYTES / 1e9:.0f} GB of memory")


def refuse_costly_forward(model: nn.Module, size: tuple[int, int], channels: int) -> None:
    """Refuse a network, on the meta device, that takes too long or too much memory, or fails.

    Raises:
        CheckpointError: a forward at this height and width exceeds a limit above, or does not run.
    """
    counted = _Counted()

    def called(module: nn.Module, args: Any) -> None:
        counted.call()

    hooks = [part.register_forward_pre_hook(called) for part in model.modules()]
    at = f"an input of {size[1]} x {size[0]} pixels"
    try:
        with torch.no_grad(), counted:
            model(torch.zeros(1, channels, *size, device="meta"))
    except _TooMuchError as error:
        raise CheckpointError(
            f"On {at}, as the file asks for, this network would need {error}; it was not run."
        ) from error
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"The network of the file does not run on {at} ({shortened(cause, 150)}). It may be of "
            "another version of ultralytics than the installed one, or of a changed copy: install "
            "that one, or show its code: --model FILE.py:FACTORY -c best.pt."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
