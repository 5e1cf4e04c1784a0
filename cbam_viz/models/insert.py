"""`insert_cbam`: CBAM after the stages of a network that has no place for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from cbam_viz._text import few, nearest, quoted, shortened
from cbam_viz.errors import ModelError
from cbam_viz.models.channels import input_channels
from cbam_viz.models.loaded import feature_entries, input_spec
from cbam_viz.wrappers import undriven

CHILD = "cbam"
"""Name of the inserted child: after `layer1`, its weights are `layer1.cbam.channel...`."""
ORIGINAL = "_class_without_cbam"
"""Attribute of the classes that `insert_cbam` makes: what the module was before."""


def insert_cbam(
    model: nn.Module,
    at: Sequence[str] | None = None,
    *,
    gate: float = 0.99,
    input_size: tuple[int, int] | None = None,
    attention_args: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Put a CBAM layer after each stage, or after the modules named in `at`. Changes `model`.

    The network's own weights and their names stay as they are. The layer after module `NAME` is
    `NAME.cbam`. Nothing is changed if an error is raised.

    Parameters
    ----------
    model
        Any network whose modules at these places return feature maps (B, C, H, W).
    at
        Dotted module names. None means every stage that timm's `feature_info` lists, the stem
        left out.
    gate
        What every channel weight and every cell of every spatial map is at first, in (0, 1). Each
        layer then multiplies its features by `gate` squared, 0.9801 by default, and nothing else:
        the MLP's last layer and the normalisation of the spatial logits start with zero weights
        and a constant bias. A sigmoid cannot give exactly 1. Nearer to 1 changes the network less
        and learns more slowly, by the sigmoid's slope `gate * (1 - gate)`; beyond 0.996 bfloat16
        rounds the gate to 1 and its gradient to 0.
    input_size
        Height and width for the one forward that finds the channel counts; the network's own size
        if not given.
    attention_args
        Further arguments of timm's `CbamModule`, such as `{"rd_ratio": 1 / 8}`. `mlp_bias` is on.

    Returns
    -------
    nn.Module
        `model`; of ultralytics' `YOLO(...)` the network in it.

    Raises
    ------
    ModelError
        No stages are known, a name is not in the network, a module does not run or does not return
        (B, C, H, W) feature maps, or a layer was inserted there before.
    """
    model = undriven(model)
    if not 0 < gate < 1:
        raise ModelError(f"gate must lie between 0 and 1, not {gate}.")
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("A TorchScript network cannot be changed; insert CBAM before scripting.")
    places = list(at) if at is not None else stage_names(model)
    _check_names(model, places)
    channels = _channel_counts(model, places, input_size, lenient=at is None)
    layers = {
        name: _layer_like(model, count, gate, attention_args or {})
        for name, count in channels.items()
    }
    try:
        for name, layer in layers.items():
            model.get_submodule(name).add_module(CHILD, layer)
            _hide_from_loops(model.get_submodule(name))
        _complete(model, layers, input_size)
    except BaseException:
        for name in layers:
            _undo(model.get_submodule(name))
        raise
    return model


def stage_names(model: nn.Module) -> list[str]:
    """Return the modules that end the stages of a timm network, in order.

    Raises
    ------
    ModelError
        The network does not say what its stages are.
    """
    modules = dict(model.named_modules())
    names = list(dict.fromkeys(str(entry.get("module", "")) for entry in feature_entries(model)))
    known = [name for name in names if name and name in modules]
    if not known:
        parts = few([name for name, _ in model.named_children()], shown=20) or "none"
        raise ModelError(
            f"{type(model).__name__} does not say what its stages are. Name the modules after "
            f"which CBAM shall stand: insert_cbam(model, at=[...]). Its parts are: {parts}."
        )
    if all(not _is_stage(modules[name]) for name in known):
        return [name for name in known if not isinstance(modules[name], nn.MaxPool2d)]
    has_stem = known[0].startswith("stem") or not _is_stage(modules[known[0]])
    return known[1:] if has_stem else known


def _is_stage(module: nn.Module) -> bool:
    """A stem is one convolution, with a normalisation at most."""
    return sum(isinstance(part, nn.Conv2d) for part in module.modules()) > 1


def _check_names(model: nn.Module, places: Sequence[str]) -> None:
    modules = dict(model.named_modules())
    for name in places:
        if not name or name not in modules:
            raise ModelError(
                f"The network has no module named {quoted(name)}; near names are "
                f"{few(nearest([*modules][1:], name))}. "
                "[name for name, _ in model.named_modules()] lists them all."
            )
        if CHILD in dict(modules[name].named_children()):
            raise ModelError(f"There is a CBAM layer after {shortened(name)} already.")
    if len(set(places)) != len(places):
        raise ModelError("Each module can be named once only.")
    if not places:
        raise ModelError("at names no module; leave it out for one CBAM after each stage.")


def _channel_counts(
    model: nn.Module, places: Sequence[str], input_size: tuple[int, int] | None, *, lenient: bool
) -> dict[str, int]:
    """Run the network once and look at what the modules return.

    `lenient` leaves out modules that return no feature maps, as long as one is left.
    """
    shapes: dict[str, Any] = {}

    def note(name: str, output: Any) -> None:
        shapes.setdefault(name, tuple(output.shape) if isinstance(output, Tensor) else type(output))

    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: note(name, output)
        )
        for name in places
    ]
    _run_once(model, hooks, input_size)
    expected = {entry.get("module"): entry.get("num_chs") for entry in feature_entries(model)}
    counts: dict[str, int] = {}
    refusals: list[ModelError] = []
    for name in places:
        try:
            counts[name] = _channels(name, shapes.get(name), expected.get(name))
        except ModelError as error:
            refusals.append(error)
    if refusals and not (lenient and counts):
        raise refusals[0]
    return counts


def _run_once(
    model: nn.Module, hooks: Sequence[RemovableHandle], input_size: tuple[int, int] | None
) -> None:
    """Run one forward in eval mode on zeros; leave neither hooks nor another mode behind."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            model(_probe(model, input_size))
    except Exception as error:
        raise ModelError(
            f"The network did not run on an input of {input_size or input_spec(model).size} "
            f"pixels ({shortened(str(error), 200)}); give insert_cbam(..., input_size=(height, "
            "width))."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training


def _channels(name: str, shape: Any, expected: int | None) -> int:
    advice = "CBAM needs feature maps of shape (B, C, H, W); name another module."
    if shape is None:
        raise ModelError(f"{name} did not run in the network's forward. {advice}")
    if not isinstance(shape, tuple):
        raise ModelError(f"{name} returns {shape.__name__}, no single tensor. {advice}")
    if len(shape) != 4:
        raise ModelError(f"{name} returns a tensor of shape {shape}. {advice}")
    if expected is not None and shape[1] != expected and shape[3] == expected:
        raise ModelError(f"{name} keeps its channels last, shape {shape} as (B, H, W, C). {advice}")
    return int(shape[1])


def _probe(model: nn.Module, input_size: tuple[int, int] | None) -> Tensor:
    like = next(model.parameters(), torch.zeros(()))
    height, width = input_size or input_spec(model).size
    channels = input_channels(model)
    return torch.zeros(1, channels, height, width, device=like.device, dtype=like.dtype)


def _layer_like(
    model: nn.Module, channels: int, gate: float, attention_args: Mapping[str, Any]
) -> CbamModule:
    like = next(model.parameters(), torch.zeros(()))
    try:
        layer = CbamModule(channels, **{"mlp_bias": True, **attention_args})
    except Exception as error:
        raise ModelError(
            f"CBAM cannot be built for {channels} channels with these attention_args "
            f"({shortened(f'{type(error).__name__}: {error}', 150)})."
        ) from error
    logit = math.log(gate / (1 - gate))
    nn.init.zeros_(layer.channel.fc2.weight)
    if layer.channel.fc2.bias is not None:
        nn.init.constant_(layer.channel.fc2.bias, logit / 2)  # it is added twice, once a branch
    nn.init.zeros_(layer.spatial.conv.bn.weight)
    nn.init.constant_(layer.spatial.conv.bn.bias, logit)
    layer.train(model.training)
    return layer.to(device=like.device, dtype=like.dtype)


def _complete(
    model: nn.Module, layers: Mapping[str, nn.Module], input_size: tuple[int, int] | None
) -> None:
    """Let each module pass its output through its new child, unless its forward does so already.

    `nn.Sequential` and stages that loop over their children call a new last child by themselves.
    """
    open_ones = {
        name: layer
        for name, layer in layers.items()
        if type(model.get_submodule(name)).forward is not nn.Sequential.forward
        and not hasattr(type(model.get_submodule(name)), ORIGINAL)
    }
    if not open_ones:
        return
    called: set[int] = set()
    hooks = [
        layer.register_forward_hook(lambda layer, args, output: called.add(id(layer)))
        for layer in open_ones.values()
    ]
    _run_once(model, hooks, input_size)
    for name, layer in open_ones.items():
        if id(layer) not in called:
            module = model.get_submodule(name)
            kind: Any = type(module)
            module.__class__ = _with_cbam(kind)


def _hide_from_loops(module: nn.Module) -> None:
    """Give containers with a forward of their own the subclass that hides the child from it."""
    container = isinstance(module, (nn.ModuleDict, nn.Sequential, nn.ModuleList))
    if container and type(module).forward is not nn.Sequential.forward:
        kind: Any = type(module)
        module.__class__ = _with_cbam(kind)


def _undo(module: nn.Module) -> None:
    module._modules.pop(CHILD, None)
    module.__class__ = getattr(type(module), ORIGINAL, type(module))


@functools.cache
def _with_cbam(cls: Any) -> Any:
    """Return a subclass whose output passes through the child `cbam`.

    A subclass, not a wrapper: attributes, indexing, isinstance and the names of the weights stay.
    Containers whose own forward goes through their children do not see the new one.
    """

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, CHILD)(cls.forward(self, *args, **kwargs))

    def reduce(self: nn.Module, protocol: Any) -> Any:
        return _rebuild, (cls,), self.__dict__

    members: dict[str, Any] = {
        "forward": forward,
        "__reduce_ex__": reduce,
        "__doc__": cls.__doc__,
        ORIGINAL: cls,
    }
    if issubclass(cls, (nn.ModuleDict, nn.Sequential, nn.ModuleList)):
        members |= _hiding(cls)
    return type(cls.__name__ + "WithCbam", (cls,), members)


def _rebuild(cls: Any) -> Any:
    """Make an empty module of the subclass, for copying and pickling."""
    made = _with_cbam(cls)
    return made.__new__(made)


def _hiding(cls: type[nn.Module]) -> dict[str, Any]:
    """Return members of a container that leave the child `cbam` out."""

    def own(self: nn.Module) -> dict[str, nn.Module]:
        return {key: part for key, part in self._modules.items() if key != CHILD and part}

    def length(self: nn.Module) -> int:
        return len(own(self))

    if not issubclass(cls, nn.ModuleDict):

        def values(self: nn.Module) -> Iterator[nn.Module]:
            return iter(own(self).values())

        return {"__iter__": values, "__len__": length}

    def keys(self: nn.Module) -> Iterator[str]:
        return iter(own(self))

    return {
        "__iter__": keys,
        "__len__": length,
        "keys": lambda self: own(self).keys(),
        "values": lambda self: own(self).values(),
        "items": lambda self: own(self).items(),
    }
