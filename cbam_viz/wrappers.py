"""The network inside what training code wraps around it, and its modules' names without that."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

_HOLDING_MODULE = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrap(model: nn.Module) -> nn.Module:
    """The network inside DataParallel, DistributedDataParallel, AveragedModel and torch.compile.

    Layers are named after it, so that a wrapped network's layers have the names they always had.
    """
    while True:
        if isinstance(model, _HOLDING_MODULE):
            model = model.module
        elif not isinstance(model, torch.jit.ScriptModule) and "_orig_mod" in model._modules:
            model = cast(nn.Module, model._modules["_orig_mod"])
        else:
            return model


def clean_name(name: str) -> str:
    """A dotted name without the parts that torch.compile's wrappers of submodules add."""
    if "_orig_mod" not in name:
        return name
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
