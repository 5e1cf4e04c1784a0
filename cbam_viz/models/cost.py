"""`cost`: what CBAM adds to a network, in parameters and FLOPs, by torch's own counter."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.cbam import CbamModule, LightCbamModule
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cbam_viz.errors import ModelError, NoAttentionError
from cbam_viz.models.insert import ORIGINAL
from cbam_viz.models.loaded import input_channels, input_spec
from cbam_viz.wrappers import unwrap


@dataclass(frozen=True)
class LayerCost:
    """What one CBAM layer costs."""

    name: str
    parameters: int
    flops: int
    """For one picture; a multiplication and an addition count as two."""


@dataclass(frozen=True)
class ModelCost:
    """What a network costs with its CBAM layers and without them.

    FLOPs are those of convolutions and matrix products for one picture, as
    `torch.utils.flop_counter` counts them: two for each multiply-add. Pooling, sigmoids and the
    products with the gates are not counted.
    """

    input_size: tuple[int, int]
    """Height and width."""
    parameters: int
    flops: int
    layers: tuple[LayerCost, ...]
    """The CBAM layers in order of execution."""

    @property
    def cbam_parameters(self) -> int:
        """Parameters of all CBAM layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def cbam_flops(self) -> int:
        """FLOPs of all CBAM layers."""
        return sum(layer.flops for layer in self.layers)

    @property
    def plain_parameters(self) -> int:
        """Parameters of the same network without CBAM."""
        return self.parameters - self.cbam_parameters

    @property
    def plain_flops(self) -> int:
        """FLOPs of the same network without CBAM."""
        return self.flops - self.cbam_flops


def cost(
    model: nn.Module,
    input_size: tuple[int, int] | None = None,
    *,
    layers: Sequence[str] | None = None,
) -> ModelCost:
    """Count parameters and FLOPs with and without CBAM, in total and for each layer.

    The network itself is neither run nor changed: a copy without memory is (on torch's meta
    device), so the count takes the same time for every input size.

    Parameters
    ----------
    model
        A network with CBAM layers.
    input_size
        Height and width; the network's own (`input_spec`) if not given.
    layers
        Dotted names of the CBAM layers. If not given: timm's, and any module whose class is named
        after CBAM.

    Raises
    ------
    NoAttentionError
        There is no CBAM layer in the network.
    ModelError
        It cannot be run on an input of this size.
    """
    model = unwrap(model)
    names = list(layers) if layers is not None else _cbam_names(model)
    if not names:
        raise NoAttentionError(
            "The network has no CBAM layer whose cost could be told. Build one with "
            "cbam_viz.create_model, or put layers into yours with cbam_viz.insert_cbam."
        )
    size = input_size or input_spec(model).size
    flops = _count_flops(model, size)
    order = {name: place for place, name in enumerate(flops)}
    counted = [
        LayerCost(name, _parameters(model.get_submodule(name)), flops.get(name, 0))
        for name in sorted(names, key=lambda name: order.get(name, len(order)))
    ]
    return ModelCost(size, _parameters(model), flops.get("", 0), tuple(counted))


def _cbam_names(model: nn.Module) -> list[str]:
    """Return the outermost modules that are CBAM by their class or its name."""
    found: list[str] = []
    for name, module in model.named_modules():
        title = type(module).__name__.lower()
        is_cbam = isinstance(module, (CbamModule, LightCbamModule)) or (
            "cbam" in title and not hasattr(type(module), ORIGINAL) and name != ""
        )
        if is_cbam and not name.startswith(tuple(f"{outer}." for outer in found)):
            found.append(name)
    return found


def _parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _count_flops(model: nn.Module, size: tuple[int, int]) -> dict[str, int]:
    """Return FLOPs by dotted module name; the empty name is the whole network."""
    twin = _without_memory(model)
    like = next(twin.parameters(), None)
    dtype = like.dtype if like is not None and like.is_floating_point() else torch.float32
    picture = torch.zeros(1, input_channels(model), *size, device="meta", dtype=dtype)
    counter = FlopCounterMode(display=False)
    found: dict[str, int] = {}
    try:
        with torch.no_grad(), _attributed(twin, counter, found), counter:
            twin.eval()(picture)
    except Exception as error:
        raise ModelError(
            f"The network cannot be counted on an input of {size[0]} x {size[1]} pixels: {error}."
        ) from error
    found[""] = counter.get_total_flops()
    return found


def _without_memory(model: nn.Module) -> nn.Module:
    """Copy a network to the meta device without copying its weights, hooks left behind."""
    memo: dict[int, Any] = {}
    for weight in model.parameters():
        memo[id(weight)] = nn.Parameter(weight.detach().to("meta"), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            memo[id(hooks)] = type(hooks)()
    return copy.deepcopy(model, memo)


@contextmanager
def _attributed(
    model: nn.Module, counter: FlopCounterMode, found: dict[str, int]
) -> Iterator[None]:
    """Note for each module how much the total grew while it ran; calls add up."""
    started: dict[str, list[int]] = {}

    def begin(name: str) -> None:
        started.setdefault(name, []).append(counter.get_total_flops())

    def end(name: str) -> None:
        grown = counter.get_total_flops() - started[name].pop()
        found[name] = found.get(name, 0) + grown

    handles = []
    for name, module in model.named_modules():
        if name:
            handles += [
                module.register_forward_pre_hook(lambda module, args, name=name: begin(name)),
                module.register_forward_hook(lambda module, args, output, name=name: end(name)),
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
