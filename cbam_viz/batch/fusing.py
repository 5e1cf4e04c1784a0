"""BatchNorms made part of the convolutions before them, in an exported graph.

In inference a BatchNorm multiplies each channel by a number and adds one, which weights and bias of
the convolution can do (the same up to rounding).
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

_CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default)


def fuse_norms(module: fx.GraphModule) -> int:
    """Fuse every BatchNorm whose input only a convolution with constant weights makes; count them.

    The module is changed.
    """
    count = 0
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.batch_norm.default and _fuse(module, node):
            count += 1
    module.graph.eliminate_dead_code()
    module.recompile()
    return count


def _fuse(module: fx.GraphModule, norm: fx.Node) -> bool:
    source, scale, shift, mean, variance, training, _, epsilon, *_ = norm.args
    if not isinstance(source, fx.Node) or source.target not in _CONVOLUTIONS or training:
        return False
    weights = _constant(module, source.args[1])
    numbers = [_constant(module, one) for one in (mean, variance)]
    gain, offset = _constant(module, scale), _constant(module, shift)
    has_bias = len(source.args) > 2 and source.args[2] is not None
    bias = _constant(module, source.args[2]) if has_bias else None
    turned = source.target is _CONVOLUTIONS[1] and source.args[6]  # transposed: other axes
    known = weights is not None and None not in numbers and not (has_bias and bias is None)
    if not known or turned or len(source.users) > 1:
        return False
    assert weights is not None
    assert isinstance(epsilon, float)
    centre, spread = numbers
    assert centre is not None
    assert spread is not None
    factor = (spread.double() + epsilon).rsqrt()
    factor = factor if gain is None else factor * gain.double()
    start = -centre.double() if bias is None else bias.double() - centre.double()
    moved = start * factor + (0 if offset is None else offset.double())
    shape = (-1, *(1,) * (weights.dim() - 1))
    with module.graph.inserting_before(source):
        made = [
            _parameter(module, f"fused_{norm.name}_{part}", value.to(weights.dtype))
            for part, value in (
                ("weight", weights.double() * factor.view(shape)),
                ("bias", moved),
            )
        ]
        source.args = (source.args[0], *made, *source.args[3:])
    norm.replace_all_uses_with(source)
    module.graph.erase_node(norm)
    return True


def _constant(module: fx.GraphModule, node: object) -> Tensor | None:
    """The tensor that a node of the graph stands for; None if it is computed."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: object = module
    for part in str(node.target).split("."):
        value = getattr(value, part, None)
    return value.detach() if isinstance(value, Tensor) else None


def _parameter(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    module.register_parameter(name, nn.Parameter(value, requires_grad=False))
    return module.graph.get_attr(name)
