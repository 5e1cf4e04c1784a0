"""What runs here, no dispatch mode sees: neither ours nor one of the user's."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    _get_current_dispatch_mode_stack,
    _pop_mode,
    _push_mode,
)

_modes = torch._C._len_torch_dispatch_stack


class unseen:  # noqa: N801
    """`with unseen():` for our own arithmetic inside a forward: no mode counts it, or changes it.

    Torch's own way takes ten times as long, which is only needed where several modes are on.
    """

    __slots__ = ("_mode", "_others")

    def __enter__(self) -> None:
        """Take the modes off."""
        self._mode: Any = None
        self._others: Any = None
        number = _modes()
        if number == 1:
            self._mode = _pop_mode()
        elif number:
            self._others = _disable_current_modes()
            self._others.__enter__()

    def __exit__(self, *error: object) -> None:
        """Put them on again."""
        if self._mode is not None:
            _push_mode(self._mode)
        elif self._others is not None:
            self._others.__exit__(*error)


def innermost_mode() -> TorchDispatchMode | None:
    """The mode that sees an operation first."""
    modes = _get_current_dispatch_mode_stack()
    return modes[-1] if modes else None
