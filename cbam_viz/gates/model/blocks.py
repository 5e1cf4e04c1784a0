"""Which stage and block of the network a layer is in: names, checked against the modules."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ...attention import LayerAttention
from ...layer_names import BLOCK_LISTS, block_of
from ...wrappers import clean_name


def place_of(layer: LayerAttention, modules: Mapping[str, nn.Module]) -> tuple[str, str]:
    """Stage and block that a layer is in, where its name alone gave the stage.

    `modules` are the network's by name. The block is empty where none is counted.
    """
    stage = layer.stage
    parts = stage.split(".")
    # `blocks.5` is a stage of an EfficientNet, and a block of a network that has no stages.
    if f"{stage}.cbam" == layer.module and parts[-1].isdigit() and parts[-2:-1] == ["blocks"]:
        stage = stage if _holds_blocks(stage, modules) else ".".join(parts[:-1])
    block = block_of(layer.module, stage)
    above, _, last = block.rpartition(".")
    if last.isdigit() and _holds_steps(above, modules):
        block = ""
    if block == layer.module and _makes_gates_only(layer, modules):
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


def _makes_gates_only(layer: LayerAttention, modules: Mapping[str, nn.Module]) -> bool:
    """True if the module is the attention itself, and not a block around it."""
    own = modules.get(layer.module)
    if own is None:
        return layer.found_by == "hook"
    names = {f"{layer.module}.{clean_name(name)}" for name, _ in own.named_parameters()}
    return names <= set(layer.weights)
