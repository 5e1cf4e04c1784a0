"""Whether a network's code looks at values, on which its way may hang."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cbam_viz.gates.layout.operators import ASKING, base
from cbam_viz.images import ModelInput, View
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import as_weights, running


def asks_for_values(loaded: LoadedModel, made: ModelInput, view: View) -> bool:
    """Whether a forward turns a tensor's value into one of Python's, as `if x.mean() > 0` does.

    What is decided so by a mean over photos is decided for all of them: the gates of a photo then
    hang on those that it goes together with, and no trial on two photos shows it for the others.
    """
    (x,) = as_weights(loaded.model, [made.tensor])
    with running(loaded, (x,), view), torch.no_grad(), _Asking() as asking:
        loaded.model(x)
    return bool(asking.asked)


class _Asking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.asked = self.asked or base(func.overloadpacket.__name__) in ASKING
        return func(*args, **(kwargs or {}))
