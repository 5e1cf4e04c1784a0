"""Modules that look like CBAM by their structure: to name those that never ran."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ..wrappers import clean_name
from .structure import ROOT_NAME


def lookalikes(model: nn.Module, known: Mapping[str, object]) -> tuple[str, ...]:
    """Names of modules, of no known class, that seem to be CBAM layers; outermost first only."""
    found: list[str] = []
    for name, module in model.named_modules():
        inside = any(name == p or name.startswith(p + ".") or not p for p in (*found, *known))
        if not inside and name and _looks_like_cbam(module):
            found.append(name)
    return tuple(clean_name(name) or ROOT_NAME for name in found)


def _looks_like_cbam(module: nn.Module) -> bool:
    """A convolution of two descriptor maps into one beside a bottleneck, in few modules."""
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        return False
    inner = list(module.modules())
    if len(inner) > 40:
        return False
    spatial = any(
        isinstance(m, nn.Conv2d) and m.in_channels == 2 and m.out_channels == 1 for m in inner
    )
    widths = [
        (m.in_channels, m.out_channels)
        if isinstance(m, nn.Conv2d)
        else (m.in_features, m.out_features)
        for m in inner
        if (isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)) or isinstance(m, nn.Linear)
    ]
    bottleneck = any(b < a and (b, a) in widths for a, b in widths)
    wide = any(
        isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1) and m.in_channels > 2 for m in inner
    )
    return spatial and bottleneck and not wide
