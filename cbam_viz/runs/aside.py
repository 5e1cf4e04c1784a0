"""A forward in the middle of a training that leaves no trace: the training goes on bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from cbam_viz.gates.model.restore import Buffers, same_random_numbers
from cbam_viz.gates.model.switches import own_items
from cbam_viz.runs.contents import Contents


@contextmanager
def set_aside(network: nn.Module) -> Iterator[None]:
    """Let a network run in eval mode without gradients and autocast, and put all of it back.

    Put back are each module's mode, its buffers (BatchNorm's statistics), the attributes that it
    keeps besides, with what is in their lists, tables and arrays, and the random numbers of torch,
    NumPy and Python. Modes are set as flags, since `eval()` and `train()` may be code of the
    network's own. Not under inference_mode: what a module keeps from there could take no part in a
    backward. Not under the training's autocast: weights that are cast without gradients would be
    kept for the training's own forward.
    """
    modules = list(network.modules())
    modes = [one.training for one in modules]
    kept = [dict(own_items(one)) for one in modules]
    contents = Contents(value for attributes in kept for value in attributes.values())
    buffers = Buffers(network)
    with ExitStack() as stack:
        stack.enter_context(same_random_numbers())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        try:
            for one in modules:
                one.training = False
            yield
        finally:
            for one, mode, attributes in zip(modules, modes, kept, strict=True):
                one.training = mode
                _put_back(one, attributes)
            contents.restore()
            buffers.restore()


def _put_back(module: nn.Module, attributes: dict[str, object]) -> None:
    """Plain attributes, such as counters and what a module remembers of its last input."""
    now = dict(own_items(module))
    for name in now.keys() - attributes.keys():
        del module.__dict__[name]
    for name, value in attributes.items():
        if name not in now or now[name] is not value:
            module.__dict__[name] = value
