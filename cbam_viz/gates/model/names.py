"""What layers are called, and which stage and block of the network they are in."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import lru_cache

from torch import nn

from ...layer_names import BLOCK_LISTS, block_of
from ...wrappers import clean_name

ROOT_NAME = "model"
"""Name of a layer that is itself the model."""

_STAGE_NAME = re.compile("(layer|stage|level)_?[0-9]+")


def call_key(module: str, number: int) -> str:
    """The name of a layer in one of its module's calls in a forward."""
    return module if number == 1 else f"{module}#{number}"


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


def place_of(
    module: str, weights: Container[str], modules: Mapping[str, nn.Module], *, known: bool
) -> tuple[str, str]:
    """Stage and block that a layer is in; the block is empty where none is counted.

    `module` is the layer's own, of a class that is `known` or not, with these weights between
    features and gates; `modules` are the network's by name.
    """
    stage = stage_of(module)
    parts = stage.split(".")
    # `blocks.5` is a stage of an EfficientNet, and a block of a network that has no stages.
    if f"{stage}.cbam" == module and parts[-1].isdigit() and parts[-2:-1] == ["blocks"]:
        stage = stage if _holds_blocks(stage, modules) else ".".join(parts[:-1])
    block = block_of(module, stage)
    above, _, last = block.rpartition(".")
    if last.isdigit() and _holds_steps(above, modules):
        block = ""
    own = modules.get(module)
    if block == module and (known if own is None else _makes_gates_only(module, own, weights)):
        block = ""
    return stage, block


def _holds_blocks(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """True for a module whose members, counted or in a list of their own, are blocks."""
    return any(
        any(part.isdigit() for part in modules[at]._modules) and not _holds_steps(at, modules)
        for at in (name, *(f"{name}.{part}" for part in BLOCK_LISTS))
        if at in modules
    )


def _holds_steps(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """True for an `nn.Sequential` of convolutions and the like: its members are not blocks."""
    members = modules[name]._modules.items() if name in modules else ()
    return any(
        part.isdigit() and member is not None and member._parameters and not member._modules
        for part, member in members
    )


def _makes_gates_only(name: str, module: nn.Module, weights: Container[str]) -> bool:
    """True if the module is the attention itself, and not a block around it."""
    return all(f"{name}.{clean_name(own)}" in weights for own, _ in module.named_parameters())
