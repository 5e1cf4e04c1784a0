"""One look at all modules of a model: which they are now, and in which mode."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at all modules of a model."""

    marks: tuple[int, ...]
    """Identities, and marks of compilation and of replaced forwards: others when a module is added,
    removed or replaced, or runs other code than its class's."""
    training: tuple[bool, ...]
    """Which modules are in train mode."""
    put_on: tuple[nn.Module, ...]
    """Modules with hooks, or with a forward that replaces that of their class."""


def survey(model: nn.Module) -> Survey:
    """Look at all modules. Costs a twentieth of `named_modules`, and runs at every capture."""
    marks = [int(model._compiled_call_impl is not None), int("forward" in model.__dict__)]
    training = [bool(getattr(model, "training", False))]
    put_on = [model]
    waiting = [] if isinstance(model, torch.jit.ScriptModule) else [model]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is None:
                continue
            there = child.__dict__
            marks.append(id(child))
            try:
                training.append(child.training)
            except AttributeError:  # frozen TorchScript does not say, and is not
                training.append(False)
            if there.get("_compiled_call_impl") is not None:
                marks.append(1)
            if "forward" in there:
                marks.append(2)
                put_on.append(child)
            elif there.get("_forward_hooks") or there.get("_forward_pre_hooks"):
                put_on.append(child)
            if child._modules:
                waiting.append(child)
    return Survey(tuple(marks), tuple(training), tuple(put_on))
