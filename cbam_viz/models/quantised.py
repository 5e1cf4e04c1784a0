"""Quantised weights: told by the scales beside them, and refused where these do not say enough.

What can be read was multiplied out before (`scaled`); of the rest only its maker knows the meaning.
Integers and 8-bit floats that are multiplied by scales in a file look like weights and are none:
widened as they stand they give a picture of another network. 8-bit floats without scales are
ordinary weights of few digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError

_SCALES = re.compile(
    r"(?:weight_|input_|q|nested_)?(?:scales?|absmax|zeros|zero_points?)(?:_inv|_weight)?(?:_\d)?"
    r"|SCB|g_idx|quant_map|bitsandbytes__\w+|_?weight[_:]scale"
)
"""What GPTQ, AWQ, bitsandbytes, compressed-tensors, torchao and writers of 8-bit floats say."""
_WEIGHTS = re.compile(r"q?weight(?:_packed)?|_?weight[_:]qdata")


def refuse_quantised(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor] | None = None
) -> None:
    """Refuse tensors that mean something only together with scales.

    Where a network of the user's own code wants (`wanted`, its state) just these codes, its code
    knows what they mean.

    Raises
    ------
    CheckpointError
        A module has weights in integers or 8-bit floats, and scales or zero points beside them.
    """
    scales: dict[str, str] = {}
    for name in tensors:
        module, leaf = _module_of(name)
        if _SCALES.fullmatch(leaf):
            scales.setdefault(module, name)
    for name, tensor in tensors.items():
        module, leaf = _module_of(name)
        if module not in scales or not _WEIGHTS.fullmatch(leaf) or not _coded(tensor):
            continue
        own = (wanted or {}).get(name)
        if own is None or own.dtype != tensor.dtype:
            raise CheckpointError(
                f"The weights are quantised: {shortened(name)} is {_kind(tensor)}, which counts "
                f"only together with {shortened(scales[module])} beside it, in a way that its name "
                "and shape do not say. Save the weights as ordinary floating-point "
                "numbers there (dequantise them), or take the file that they were made from."
            )


def _module_of(name: str) -> tuple[str, str]:
    """A tensor's module, and its own name in it."""
    module, _, leaf = name.rpartition(".")
    outer, _, last = module.rpartition(".")
    # bitsandbytes keeps scales under the weight's own name: fc.weight.absmax
    while last in {"weight", "quant_state"}:
        module, (outer, _, last) = outer, outer.rpartition(".")
    return module, leaf


def _coded(tensor: Tensor) -> bool:
    few = tensor.element_size() == 1 or not tensor.is_floating_point()
    return few and tensor.numel() > 1


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
