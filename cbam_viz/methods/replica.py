"""Private copies of networks, so that what others use at the same time is never touched.

Other methods put hooks on a network, ask for gradients and randomise weights. All of that happens
on a copy of its modules. A replica shares the weights' memory with the network, which costs a few
milliseconds and no memory; a loose copy has weights of its own.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from cbam_viz._text import shortened
from cbam_viz.errors import MethodError
from cbam_viz.gates.model.hooks import steady
from cbam_viz.wrappers import unwrap


def replica(model: nn.Module) -> nn.Module:
    """A copy of the network's modules in eval mode, whose weights are the same memory.

    Its parameters ask for no gradient, whatever those of the network do.

    Raises:
        MethodError: the network is in train mode, is TorchScript or cannot be copied.
    """
    return _copied(model, own=False)


def loose_copy(model: nn.Module) -> nn.Module:
    """The same with weights of its own, which may be changed. Raises as `replica` does."""
    return _copied(model, own=True)


def _copied(model: nn.Module, *, own: bool) -> nn.Module:
    network = unwrap(model)
    if isinstance(network, torch.jit.ScriptModule):
        raise MethodError(
            "Methods that look into layers need the network's Python modules, and this one is "
            "TorchScript. Load the network that it was made from."
        )
    if any(part.training for part in network.modules()):
        raise MethodError(
            "The network is in train mode, where dropout and batch statistics change its output "
            "too. Call model.eval() first."
        )
    with torch.inference_mode(False), torch.no_grad(), steady():
        memo = {id(one): _again(one, own=own) for one in _tensors_of(network)}
        try:
            made: nn.Module = copy.deepcopy(network, memo)
        except Exception as error:  # the user's own classes, which may forbid it
            raise MethodError(
                f"{type(network).__name__} cannot be copied, and other methods work on a copy so "
                f"that the network stays as it is: {shortened(str(error))}"
            ) from error
    return made


def _tensors_of(network: nn.Module) -> list[Tensor]:
    """Parameters, buffers and tensors that modules keep as attributes."""
    found = [*network.parameters(), *network.buffers()]
    kept = (value for part in network.modules() for value in vars(part).values())
    return [*found, *(value for value in kept if isinstance(value, Tensor))]


def _again(tensor: Tensor, *, own: bool) -> Tensor:
    # What was made under inference_mode can take no part in a backward, whoever asks for it.
    values = tensor.detach()
    values = values.clone() if own or values.is_inference() else values
    return nn.Parameter(values, requires_grad=False) if isinstance(tensor, nn.Parameter) else values
