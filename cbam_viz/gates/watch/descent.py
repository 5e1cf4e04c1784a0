"""Where a gate comes from: the two pooled branches of channel logits, the two pooled maps."""

from __future__ import annotations

from torch import Tensor

from ...attention import ChannelBranches, SpatialDescriptors
from ..layout.axes import CHANNEL, labels
from ..layout.operators import AVERAGING, MAXIMISING
from ..model.copies import plain_copy
from .graph import Node, backward_slice, origin
from .pairing import Found
from .products import Watch

_MOST_VALUES = 200
"""No gate of any code takes so many; a slice that leaves the layer does."""


def branches_of(found: Found, watch: Watch) -> ChannelBranches | None:
    """The summands of the channel logits, if they are an average and a maximum branch."""
    if found.channel is None:
        return None
    shape = tuple(found.channel.value.shape)
    node = found.channel.node
    for _ in range(16):
        if node.base == "add" and len(node.inputs) == 2:
            kinds = [_pooled_by(one, found) for one in node.inputs]
            if sorted(kinds) == ["average", "maximum"]:
                values = [_value(one, watch) for one in node.inputs]
                if any(v is None or v.numel() != shape[0] * shape[1] for v in values):
                    return None
                copies = {
                    kind: plain_copy(v.reshape(shape))
                    for kind, v in zip(kinds, values, strict=True)
                    if v is not None
                }
                return ChannelBranches(copies["average"], copies["maximum"])
        if len(node.inputs) != 1 and node.base not in ("mul", "div"):
            return None
        if not node.inputs:
            return None
        node = node.inputs[0]
    return None


def descriptors_of(found: Found, watch: Watch) -> SpatialDescriptors | None:
    """Mean and maximum over channels, as the spatial gate's convolution sees them."""
    if found.spatial is None:
        return None
    shape = tuple(found.spatial.value.shape)
    copies: dict[str, Tensor] = {}
    start = {origin(product.feature) for product in found.products}
    for node in backward_slice([found.spatial.node], stop=start, limit=_MOST_VALUES):
        for kind, names in (("mean", AVERAGING), ("maximum", MAXIMISING)):
            if node.base in names and _over_channels(node):
                value = watch.small.get(node)
                if value is not None and value.numel() == shape[0] * shape[1] * shape[2]:
                    copies.setdefault(kind, plain_copy(value.reshape(shape)))
    if len(copies) == 2:
        return SpatialDescriptors(copies["mean"], copies["maximum"])
    return None


def _over_channels(node: Node) -> bool:
    before = any(CHANNEL in labels(axis) for axis in node.inputs[0].layout)
    return before and not any(CHANNEL in labels(axis) for axis in node.layout)


def _pooled_by(node: Node, found: Found) -> str:
    stop = {origin(product.feature) for product in found.products}
    names = {
        one.base
        for one in backward_slice([node], stop=stop, limit=_MOST_VALUES)
        if not _over_channels_safe(one)
    }
    average, maximum = bool(names & AVERAGING), bool(names & MAXIMISING)
    if average == maximum:
        return ""
    return "average" if average else "maximum"


def _over_channels_safe(node: Node) -> bool:
    return bool(node.inputs) and _over_channels(node)


def _value(node: Node, watch: Watch) -> Tensor | None:
    while node not in watch.small and node.inputs:
        node = node.inputs[0]
    return watch.small.get(node)
