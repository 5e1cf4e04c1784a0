"""`cost`: what CBAM adds to a network, in parameters and FLOPs, by torch's own counter."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.cbam import CbamModule, LightCbamModule
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cbam_viz._text import nearest, quoted, said
from cbam_viz.errors import CaptureError, ModelError, NoAttentionError
from cbam_viz.gates import cbam_layers_seen
from cbam_viz.gates.find import noise_for
from cbam_viz.models.channels import input_channels, takes_inputs
from cbam_viz.models.insert import ORIGINAL
from cbam_viz.models.loaded import input_spec, set_to_eval
from cbam_viz.wrappers import clean_name, unwrap


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

    The network is not changed. It is run once where its CBAM layers must be looked for, and else
    not at all: a copy without memory (on torch's meta device) is counted. Of CBAM that is written
    into another module's forward, the parameters that make the gates count, and the FLOPs of the
    modules that own them.

    Args:
        model: a network with CBAM layers.
        input_size: height and width; the network's own (`input_spec`) if not given.
        layers: dotted names of the CBAM layers. If not given: timm's, and any module whose class is
            named after CBAM; where there is none, what one forward on noise shows (`capture`).

    Raises:
        NoAttentionError: there is no CBAM layer in the network.
        ModelError: it cannot be run on an input of this size, or has no module of a name in
            `layers`.
    """
    model = unwrap(model)
    size = input_size or input_spec(model).size
    parts = _parts(model, layers, size)
    if not parts:
        raise NoAttentionError(
            "The network has no CBAM layer whose cost could be told.",
            "Build one with cbam_viz.create_model, or put layers into yours with "
            "cbam_viz.insert_cbam.",
        )
    flops = _count_flops(model, size)
    order = {name: place for place, name in enumerate(flops)}
    counted = [
        LayerCost(name, _numbers(weights), sum(flops.get(module, 0) for module in modules))
        for name, (weights, modules) in parts.items()
    ]
    counted.sort(key=lambda layer: order.get(layer.name, len(order)))
    whole = _numbers(dict(model.named_parameters()))
    return ModelCost(size, whole, flops.get("", 0), tuple(counted))


_Part = tuple[Mapping[str, nn.Parameter], tuple[str, ...]]
"""One layer's parameters by name, and the modules whose FLOPs are its own."""


def _parts(
    model: nn.Module, layers: Sequence[str] | None, size: tuple[int, int]
) -> dict[str, _Part]:
    """Return the CBAM layers: those named, else those known by class or name, else those seen."""
    names = list(layers) if layers is not None else _cbam_names(model)
    if names or layers is not None:
        there = dict(model.named_modules())
        for name in names:
            if name not in there:
                raise ModelError(
                    f"The network has no module {quoted(name)} whose cost could be told; near "
                    f"names are {', '.join(nearest([*there][1:], name))}."
                )
        return {name: (dict(there[name].named_parameters()), (name,)) for name in names}
    if any(weight.is_meta for weight in model.parameters()):
        return {}
    try:
        seen = cbam_layers_seen(model, noise_for(model, size))
    except CaptureError as error:
        raise _cannot_be_counted(size, error.__cause__ or error) from error
    known = {clean_name(name): weight for name, weight in model.named_parameters()}
    found: dict[str, _Part] = {}
    for layer in seen:
        weights = {name: known[name] for name in layer.weights if name in known}
        owners = dict.fromkeys(name.rpartition(".")[0] for name in weights)
        leaves = [name for name in owners if not list(model.get_submodule(name).children())]
        found.setdefault(layer.module, (weights, tuple(leaves)))
    return found


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


def _numbers(weights: Mapping[str, nn.Parameter]) -> int:
    return sum(weight.numel() for weight in weights.values())


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
            set_to_eval(twin)(*[picture] * takes_inputs(model))
    except Exception as error:
        raise _cannot_be_counted(size, error) from error
    found[""] = counter.get_total_flops()
    return found


def _cannot_be_counted(size: tuple[int, int], error: BaseException) -> ModelError:
    return ModelError(
        f"The network cannot be counted on an input of {size[0]} x {size[1]} pixels: {said(error)}."
    )


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
