"""The network inside what training code wraps around it, and its modules' names without that."""

from __future__ import annotations

import sys
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cbam_viz.errors import ModelError

_HOLDING_MODULE = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrap(model: nn.Module) -> nn.Module:
    """The network inside DataParallel, DistributedDataParallel, averages and torch.compile.

    Averages are torch's AveragedModel and timm's ModelEmaV2 and ModelEmaV3.

    Layers are named after it, so that a wrapped network's layers have the names they always had.
    """
    while True:
        model = undriven(model)
        if isinstance(model, _HOLDING_MODULE) or _is_timms_average(model):
            model = cast(nn.Module, model.module)
        elif not isinstance(model, torch.jit.ScriptModule) and "_orig_mod" in model._modules:
            model = cast(nn.Module, model._modules["_orig_mod"])
        else:
            return model


def _is_timms_average(model: Any) -> bool:
    averages = sys.modules.get("timm.utils.model_ema")
    return averages is not None and isinstance(model, (averages.ModelEmaV2, averages.ModelEmaV3))


def undriven(model: Any) -> Any:
    """The network inside ultralytics' `YOLO(...)`; anything else is returned as it is.

    That object is a torch module whose `train` trains, so that its `eval()` would start a training
    too, and whose call predicts with a copy. Nobody here may call it.

    Raises:
        ModelError: it holds no PyTorch network, but the path of an exported one.
    """
    engine = sys.modules.get("ultralytics.engine.model")
    if engine is None or not isinstance(model, engine.Model):
        return model
    network = vars(model).get("_modules", {}).get("model") or vars(model).get("model")
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"This {type(model).__name__} holds no PyTorch network, but {str(network)[:80]!r}. "
            "Give one that was made of a .pt or .yaml file."
        )
    return network


def clean_name(name: str) -> str:
    """A dotted name without the parts that torch.compile's wrappers of submodules add."""
    if "_orig_mod" not in name:
        return name
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
