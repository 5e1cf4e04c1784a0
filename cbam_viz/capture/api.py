"""The public functions: one forward, or a block in which the user runs their own."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import nn

from ..attention import Attention
from ..errors import CaptureError
from .assemble import Changed
from .known import known_layers
from .recorder import Recorder
from .state import allow_compiled, force_eager, is_compiled
from .structure import unwrap
from .table import table_of


def find_cbam_layers(model: nn.Module) -> list[str]:
    """Dotted names of the CBAM layers of `model`, in order of execution."""
    return [layer.name for layer in known_layers(unwrap(model)).values()]


def capture(
    model: nn.Module,
    *args: Any,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
    **kwargs: Any,
) -> Attention:
    """Run one forward, `model(*args, **kwargs)`, and return its gates and its output."""
    _demand_module(model)
    recorder = Capture(model, branches=branches, descriptors=descriptors, features=features)
    try:
        with recorder:
            recorder._recorder.run(_alone(model), args, kwargs)
    except Changed:
        table_of(unwrap(model))[0].forget()
        with recorder:
            recorder._recorder.run(_alone(model), args, kwargs)
    return recorder.attention()


class Capture:
    """Capture every forward of `model` that the user runs inside a `with` block."""

    def __init__(
        self,
        model: nn.Module,
        *,
        branches: bool = False,
        descriptors: bool = False,
        features: bool | Sequence[str] = False,
    ) -> None:
        _demand_module(model)
        self.model = model
        self._recorder = Recorder(
            unwrap(model), branches=branches, descriptors=descriptors, features=features
        )
        self._eager = False

    def __enter__(self) -> Capture:
        recorder = self._recorder
        recorder.error = None
        compiled = self.model is not recorder.root or recorder.table().compiled
        if compiled and is_compiled(self.model):
            force_eager()
            self._eager = True
        try:
            recorder.start()
        except BaseException:
            self._allow()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._recorder.stop()
        finally:
            self._allow()
        if kind is None and self._recorder.error is not None:
            raise self._recorder.error

    def _allow(self) -> None:
        if self._eager:
            self._eager = False
            allow_compiled()

    @property
    def results(self) -> list[Attention]:
        """One `Attention` for each forward that ended, in order."""
        return self._recorder.results

    def attention(self) -> Attention:
        """The result of the last forward.

        Raises:
            CaptureError: no forward of the model ended inside the block.
        """
        if not self.results:
            raise CaptureError(
                "No forward of the model ended inside the block. Call the model itself there, as "
                "in `with capturing(model) as recorder: model(x)`, not one of its methods or parts; "
                "a DataParallel over several GPUs runs copies in other threads: capture its "
                "`.module`."
            )
        return self.results[-1]


def _demand_module(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise CaptureError(
            f"capture needs a torch.nn.Module, not {type(model).__name__}. "
            "Pass the network first and its input after it: capture(model, x)."
        )


def _alone(model: nn.Module) -> nn.Module:
    """DataParallel over several GPUs would run copies in other threads: its network instead."""
    if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
        return nn.DataParallel(model.module, device_ids=model.device_ids[:1])
    return model


__all__ = ["Capture", "capture", "find_cbam_layers", "torch"]
