"""Names and places of modules: no hooks, no forward."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ..layout.inputs import picture_size

_STAGE_NAME = re.compile("(layer|stage|level)_?[0-9]+")

ROOT_NAME = "model"
"""Name of a layer that is itself the model."""


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


@lru_cache(maxsize=4096)
def stage_of(name: str) -> str:
    """The part of the network that a layer belongs to.

    `layer3.0.se` is in `layer3`, `blocks.2.0.se` in `blocks.2`, `stages.1.blocks.0.attn` in
    `stages.1`: the first number in a name is a stage if another one counts the blocks inside.
    A layer that `insert_cbam` put behind a stage, `stages.1.cbam`, is in that stage.
    """
    parts = name.split("#", maxsplit=1)[0].split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    # `layer1.0.cbam` is of a block: the stage has a number in its own name. Before it may come the
    # network's place in an nn.Sequential.
    for i, part in enumerate(parts[: next((i for i in numbers if i > 0), None)]):
        if _STAGE_NAME.fullmatch(part) or (part[:1] == "s" and _blocks_follow(parts[i : i + 2])):
            return ".".join(parts[: i + 1])
    if parts[0].isdigit() and parts[1:2] == ["stages"]:
        return f"{parts[0]}.{stage_of('.'.join(parts[1:]))}"
    if not numbers:
        return parts[0]
    inserted = parts[-1] == "cbam" and numbers[0] == len(parts) - 2
    counts_stages = len(numbers) > 1 or numbers[0] == 0 or inserted
    return ".".join(parts[: numbers[0] + (1 if counts_stages else 0)])


def _blocks_follow(parts: list[str]) -> bool:
    """RegNet's `s1.b1`."""
    return len(parts) == 2 and parts[0][1:].isdigit() and bool(re.fullmatch("b[0-9]+", parts[1]))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    else:
        for part in parts_of(value):
            yield from tensors_in(part)


def parts_of(value: Any) -> Iterator[Any]:
    """What a tuple, list, mapping or dataclass holds; nothing for anything else."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (tuple, list)):
        yield from value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name) for field in dataclasses.fields(value))


def images_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The network's input: the first (B, C, H, W) tensor among its arguments.

    Where there is none, the first list of (C, H, W) tensors, as detectors take it.
    """
    for tensor in tensors_in((args, kwargs)):
        if tensor.is_nested and tensor.ndim == 4:
            return list(tensor.unbind())
        if tensor.ndim == 4:
            return [tensor]
    lists = (found for one in (*args, *kwargs.values()) for found in _lists_of_images(one))
    return next(lists, [])


def _lists_of_images(value: Any) -> Iterator[list[Tensor]]:
    """Lists of images; tuples of them, and lists of dicts, if they look like images."""
    if isinstance(value, (list, tuple)):
        rows = [list(one.values()) if isinstance(one, Mapping) else [one] for one in value]
        for images in zip(*rows, strict=False):
            if all(isinstance(one, Tensor) and one.ndim == 3 for one in images):
                plain = isinstance(value, list) and isinstance(value[0], Tensor)
                if plain or all(one.shape[0] in (1, 3, 4) for one in images):
                    yield list(images)
    for part in parts_of(value):
        if not isinstance(part, Tensor):
            yield from _lists_of_images(part)


def input_size_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int]:
    """Height and width of the network's input; (0, 0) if no image is among its arguments."""
    images = images_in(args, kwargs)
    pictured = None if images else pictured_size(args, kwargs)
    if pictured is not None:
        return pictured
    images = images or [
        tensor
        for tensor in tensors_in((args, kwargs))
        if tensor.ndim >= 2 and tensor.is_floating_point()
    ]
    return (int(images[0].shape[-2]), int(images[0].shape[-1])) if images else (0, 0)


def pictured_size(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width of the first picture that is no tensor: an array, or one of Pillow's."""
    sizes = (picture_size(one) for one in _leaves((args, kwargs)) if not isinstance(one, Tensor))
    return next((size for size in sizes if size is not None), None)


def _leaves(value: Any) -> Iterator[Any]:
    """What is in nested tuples, lists, mappings and dataclasses."""
    parts = [] if isinstance(value, Tensor) else list(parts_of(value))
    if not parts:
        yield value
    for part in parts:
        yield from _leaves(part)


def own(copy: Tensor) -> Tensor:
    """The same as `plain_copy` of a copy that nobody else has: mostly it need not be copied."""
    plain = copy.dtype is torch.float32 and copy.device.type == "cpu" and copy.is_contiguous()
    if not plain:
        return plain_copy(copy)
    return copy.clone() if copy.is_inference() else copy


def plain_copy(tensor: Tensor) -> Tensor:
    """A float32 copy on the CPU that nobody else owns; call it inside `state.calm`."""
    return torch.empty(tensor.shape, dtype=torch.float32).copy_(tensor)
