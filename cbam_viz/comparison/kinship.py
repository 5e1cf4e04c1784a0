"""Whether channel `k` of a layer is the same channel in another network.

The channels of a trained network have no order: two trainings of one architecture find different
features in a different order, and a scatter of their channel weights would pair strangers. Only
where both networks come from the same weights, as one that was fine-tuned from the other, does an
index mean the same in both. Nothing in a file says so, but the weights do: of networks that come
from the same ones, each filter is most like the filter of the same index in the other network; of
others it is so by chance alone, one time in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cbam_viz.attention import LayerAttention
from cbam_viz.layer_names import block_of
from cbam_viz.wrappers import unwrap

NEARLY_ALL = 0.9
"""Share of filters that must be most like the one of their own index."""
TRIED = 256
"""Filters of a tensor that are tried at most, evenly spaced; each among all of the other's."""
FEWEST, SHORTEST = 8, 16
"""Of fewer filters chance alone picks the right one too often, and filters of fewer numbers (those
of a depthwise convolution have nine) are too much alike."""


@dataclass(frozen=True)
class Kinship:
    """Whether an index means the same channel in two layers, and how that is known."""

    corresponds: bool
    text: str
    """A sentence."""
    share: float | None = None
    """Of filters that are most like the one of the same index; None where none was compared."""


SAME = Kinship(True, "It is the same network, so channel k is the same channel on each photo.", 1.0)
UNKNOWN = (
    "Channels of separately trained networks have no common order, and here nothing shows that "
    "these come from the same weights, so they are compared as distributions."
)


def kinship(
    first: nn.Module, second: nn.Module, layer: LayerAttention, partner: LayerAttention
) -> Kinship:
    """Whether the channels of `layer` in `first` are those of `partner` in `second`.

    Compared are the weights of the layer's block (of its stage where it is in none) that give or
    take as many channels as are gated; their names must be the same in both networks. Those of the
    gates themselves count only where there are no others: what a channel is, the features say, and
    gates may be new in both.
    """
    if layer.channel is None or partner.channel is None:
        return Kinship(False, "One of the layers has no channel weights.")
    counts = layer.channel.shape[1], partner.channel.shape[1]
    if counts[0] != counts[1]:
        return Kinship(
            False,
            f"The layers have {counts[0]} and {counts[1]} channels, so that none has a counterpart "
            "and they are compared as distributions.",
        )
    one, other = unwrap(first), unwrap(second)
    if one is other:
        same = layer.name == partner.name
        return SAME if same else Kinship(False, "They are different layers of one network.")
    shares = list(_shares(one, other, layer, partner))
    found = [each for each in shares if each[2] not in layer.weights] or shares
    if not found:
        return Kinship(False, UNKNOWN)
    like, tried, name = min(found, key=lambda each: each[0] / each[1])
    share = like / tried
    told = f"{like} of {tried} filters of {name} are most like the filter of the same index"
    if share >= NEARLY_ALL:
        return Kinship(
            True,
            f"Both networks come from the same weights, as after fine-tuning: at least {told} in "
            "the other network. So channel k is the same channel in both.",
            share,
        )
    return Kinship(
        False,
        f"Equal indices are not the same channel here: only {told} in the other network, as where "
        "networks are trained separately. So they are compared as distributions.",
        share,
    )


def _shares(
    first: nn.Module, second: nn.Module, layer: LayerAttention, partner: LayerAttention
) -> Iterator[tuple[int, int, str]]:
    """For each tensor: how many filters are most like the one of their index, of how many."""
    assert layer.channel is not None
    count = layer.channel.shape[1]
    where = layer.block or block_of(layer.module, layer.stage) or layer.stage
    there = partner.block or block_of(partner.module, partner.stage) or partner.stage
    if where != there:
        return
    others = dict(second.named_parameters())
    for name, weight in first.named_parameters():
        if not name.startswith(f"{where}.") or name not in others or weight.ndim < 2:
            continue
        if weight.shape != others[name].shape or count not in weight.shape[:2]:
            continue
        axis = 0 if weight.shape[0] == count else 1
        like, tried = _most_alike(*(_filters(one, axis) for one in (weight, others[name])))
        if tried:
            yield like, tried, name


def _filters(weight: Tensor, axis: int) -> Tensor:
    """(C, n) of length 1 each; all zero where a filter is."""
    moved = weight.detach().movedim(axis, 0).flatten(1).to("cpu", torch.float32)
    return nn.functional.normalize(moved, dim=1)


def _most_alike(first: Tensor, second: Tensor) -> tuple[int, int]:
    """How many filters of the first are most like the second's of their index, of how many tried.

    Filters of zeros have no direction and tell nothing.
    """
    known = ((first.norm(dim=1) > 0) & (second.norm(dim=1) > 0)).nonzero()[:, 0]
    if first.shape[1] < SHORTEST or len(known) < FEWEST:
        return 0, 0
    step = max(1, -(-len(known) // TRIED))
    tried = known[::step]
    nearest = (first[tried] @ second.T).argmax(1)
    return int((nearest == tried).sum()), len(tried)
