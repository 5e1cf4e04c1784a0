"""Does a map depend on what the network learnt? The sanity check by randomising its weights.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018. A map that stays the same when the
weights are random shows the photo, or the shape of the network, and not what it learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cbam_viz.errors import MethodError
from cbam_viz.gates.model.names import stage_of
from cbam_viz.methods.replica import loose_copy
from cbam_viz.metrics import pearson, spearman

Order = Literal["from the output", "each alone"]
By = Literal["layer", "stage"]
MakeMap = Callable[[nn.Module], npt.NDArray[Any]]
"""From a network to its map (h, w) of one photo, for one and the same class, such as `lambda
network: method_map(network, x, "layer4", target=5).values`, or `lambda network: capture(network,
x)["layer4.1.se"].spatial[0].numpy()` for a gate."""


@dataclass(frozen=True)
class Randomised:
    """How alike a map stays once the weights of one part (and of those after it) are random."""

    part: str
    """The layer or stage that was randomised last."""
    spearman: float | None
    """Rank correlation with the map of the network as it learnt; None if a map is flat. Near 0 for
    a map that depends on these weights."""
    pearson: float | None
    changed: int
    """How many of the parameters have another value: values in another order, which are the same
    where all of a tensor were equal."""


def randomised(
    model: nn.Module,
    make_map: MakeMap,
    order: Order = "from the output",
    by: By = "stage",
    *,
    seed: int = 0,
) -> tuple[Randomised, ...]:
    """Randomise a copy of the network part by part and compare the maps.

    `from the output` goes backwards and leaves random what was (the cascade); `each alone` starts
    anew for each part. Of each parameter the values are put in random order, so that its
    distribution stays and what it learnt goes. Parts come in the order in which they run, last
    first.

    Raises:
        MethodError: the network cannot be copied, or has no parameters; and what `make_map` raises.
    """
    copy = loose_copy(model)
    ran = _in_order(copy, make_map)
    first = ran.first
    parts: dict[str, list[str]] = {}
    for name in reversed(ran.modules):
        parts.setdefault(stage_of(name) if by == "stage" else name, []).append(name)
    if not parts:
        raise MethodError("The network has no parameters to randomise.")
    results = []
    for part, names in parts.items():
        if order == "each alone":
            copy = loose_copy(model)
        changed = sum(_shuffle(copy.get_submodule(name), name, seed) for name in names)
        found = make_map(copy)
        results.append(Randomised(part, spearman(first, found), pearson(first, found), changed))
    return tuple(results)


@dataclass(frozen=True, eq=False)
class _Ran:
    first: npt.NDArray[Any]
    """The map of the network as it is."""
    modules: list[str]
    """Those with parameters of their own, in the order in which they ran first."""


def _in_order(network: nn.Module, make_map: MakeMap) -> _Ran:
    own = [(name, part) for name, part in network.named_modules() if list(part.parameters(False))]
    ran: dict[str, None] = {}
    handles = [
        part.register_forward_pre_hook(lambda _part, _args, name=name: ran.setdefault(name))
        for name, part in own
    ]
    try:
        first = make_map(network)
    finally:
        for handle in handles:
            handle.remove()
    # What never ran as a module may be used by another's code: before all that did.
    return _Ran(first, [*(name for name, _ in own if name not in ran), *ran])


def _shuffle(module: nn.Module, name: str, seed: int) -> int:
    """Put each parameter's values in random order; how many changed."""
    changed = 0
    with torch.no_grad():
        for key, parameter in module.named_parameters(recurse=False):
            chance = np.random.default_rng([seed, *f"{name}.{key}".encode()])
            order = torch.from_numpy(chance.permutation(parameter.numel()))
            before = parameter.flatten().clone()
            parameter.copy_(before[order.to(before.device)].view(parameter.shape))
            changed += int((parameter.flatten() != before).sum())
    return changed
