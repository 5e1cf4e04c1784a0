"""Modules that look like CBAM by their structure: to name those that never ran."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from torch import nn

from ...wrappers import clean_name
from .names import ROOT_NAME

_MOST_MODULES = 40
"""A CBAM has fewer parts than that; a network that merely has one somewhere has more."""


def lookalikes(modules: Mapping[str, nn.Module], known: Mapping[str, object]) -> tuple[str, ...]:
    """Names of modules, of no known class, that seem to be CBAM layers; outermost first only.

    Where a block owns the two gates itself, beside its convolutions, those two are named.
    """
    found: list[str] = []
    holders = _holders([*modules.values()])
    for name, module in modules.items():
        if module not in holders and not _is_called_cbam(module):
            continue
        inside = any(name == p or name.startswith(p + ".") or not p for p in (*found, *known))
        if inside or isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            continue
        if name and _is_cbam(module):
            found.append(name)
        else:
            found.extend(f"{name}.{half}" if name else half for half in _halves(module))
    return tuple(clean_name(name) or ROOT_NAME for name in found)


def _holders(modules: list[nn.Module]) -> set[nn.Module]:
    """Those that make a map, and what they are in: no others can look like CBAM by their parts."""
    parents: dict[nn.Module | None, list[nn.Module]] = {}
    for module in modules:
        for part in module._modules.values():
            parents.setdefault(part, []).append(module)
    found: set[nn.Module] = set()
    waiting = [module for module in modules if _makes_map(module)]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(parents.get(module, ()))
    return found


def _is_called_cbam(module: nn.Module) -> bool:
    return "cbam" in type(module).__name__.lower()


def _is_cbam(module: nn.Module) -> bool:
    """Named after it, or with both gates' layers; in few modules, and none for features."""
    inner = _some_of(module)
    if len(inner) > _MOST_MODULES or any(map(_is_wide, inner)):
        return False
    widths = _pointwise(inner)
    weighs = any(b == a or (b < a and (b, a) in widths) for a, b in widths)
    return _is_called_cbam(module) or (weighs and any(map(_makes_map, inner)))


def _halves(module: nn.Module) -> list[str]:
    """The children that make a channel gate and a map, if there are both."""
    maps: list[str] = []
    weights: list[str] = []
    for name, child in module.named_children():
        inner = _some_of(child)
        if len(inner) > _MOST_MODULES or any(map(_is_wide, inner)):
            continue
        widths = _pointwise(inner)
        if any(map(_makes_map, inner)) and not widths:
            maps.append(name)
        elif any(b < a and (b, a) in widths for a, b in widths):
            weights.append(name)
    return [*weights, *maps] if maps and weights else []


def _some_of(module: nn.Module) -> list[nn.Module]:
    """The modules in it, or more of them than a CBAM has."""
    return [*islice(module.modules(), _MOST_MODULES + 1)]


def _makes_map(module: nn.Module) -> bool:
    """A convolution into one map, of two descriptors or of the features themselves."""
    if not isinstance(module, nn.Conv2d) or module.out_channels != 1:
        return False
    return module.in_channels == 2 or module.kernel_size != (1, 1)


def _is_wide(module: nn.Module) -> bool:
    """A convolution of features into features, over positions."""
    if not isinstance(module, nn.Conv2d):
        return False
    return module.kernel_size != (1, 1) and module.in_channels > 2 and module.out_channels > 1


def _pointwise(modules: list[nn.Module]) -> list[tuple[int, int]]:
    """Widths, in and out, of linear layers and of convolutions of one pixel."""
    widths = []
    for module in modules:
        if isinstance(module, nn.Linear):
            widths.append((module.in_features, module.out_features))
        elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            widths.append((module.in_channels, module.out_channels))
    return widths
