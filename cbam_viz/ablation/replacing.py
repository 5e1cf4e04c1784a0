"""A forward in which gates are exchanged where they are multiplied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz.ablation._capture import calm
from cbam_viz.ablation.learnt import GateName, GatePlace, Learned, OtherForwardError, operand_at
from cbam_viz.ablation.operands import exchanged, is_that_gate, values
from cbam_viz.ablation.passes import key_of, weights_of
from cbam_viz.ablation.replacements import Replacement
from cbam_viz.ablation.tape import Skipping
from cbam_viz.computation import Site
from cbam_viz.errors import CaptureError


class Exchange:
    """One forward: exchanges the operands of some operations, and sees to it that all were met.

    Each operation up to the last gate must be the one that was learnt: the same function on tensors
    of the same shapes, and on the same parameters. Behind it the network may do as it likes.
    """

    def __init__(
        self,
        root: nn.Module,
        learned: Learned,
        wanted: Mapping[GateName, Replacement],
        skipping: Skipping | None = None,
    ) -> None:
        self.acted: dict[GateName, Tensor] = {}
        """What each gate was replaced by, as it acted: (B, C) or (B, h, w) float32 on the CPU."""
        self._keys, self._weights = learned.keys, weights_of(root)
        self._values, self._skipping = learned.values, skipping
        self._sites: dict[int, list[tuple[GatePlace, Site, Replacement]]] = {}
        for name, by in wanted.items():
            place = learned.gates[name]
            for site in place.sites:
                self._sites.setdefault(site.operation, []).append((place, site, by))
        self._last = max(*self._sites, 0 if skipping is None else skipping.at, 0)
        self._left = sum(map(len, self._sites.values()))
        self._number = 0
        self._error: Exception | None = None

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one operation, with another gate if it has one to be replaced."""
        self._number = number = self._number + 1
        if number > self._last or self._error is not None:
            return func(*args, **kwargs)
        skipping = self._skipping
        try:
            if skipping is not None and number < skipping.at:
                return skipping.result(number, func, args, kwargs)
            if skipping is not None and number == skipping.at:
                skipping.restore()
            args = self._checked(number, func, args, kwargs)
        except Exception as error:  # the network's code may catch it: `demand_all` tells
            self._error = error
            raise
        return func(*args, **kwargs)

    def demand_all(self) -> None:
        """Raises CaptureError if a gate was not replaced."""
        if self._error is not None:
            raise self._error
        if self._left:
            raise OtherForwardError

    def _checked(
        self, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, ...]:
        if key_of(func, args, kwargs, self._weights) != self._keys[number - 1]:
            raise _other_way()
        if torch._C._current_graph_task_id() >= 0:
            raise CaptureError(
                "The network computes gradients inside its forward, which would be those of the "
                "gates that were replaced. Without them, its gates can be replaced."
            )
        for place, site, by in self._sites.get(number, ()):
            operand = operand_at(site, func, args)
            if operand is None or not is_that_gate(operand, site, place.kind):
                raise _other_way()
            args = self._exchanged(place, site, by, operand, args)
            self._left -= 1
        return args

    def _exchanged(
        self,
        place: GatePlace,
        site: Site,
        by: Replacement,
        operand: Tensor,
        args: tuple[Any, ...],
    ) -> tuple[Any, ...]:
        with calm():
            old = values(operand, site, place.kind)
            if old.dtype not in (torch.float32, torch.float64):
                old = old.float()
            if len(place.sites) == 1:
                new = by(old).expand_as(old)
                acting = new
            else:
                new, acting = self._of_factors(place, site, by, old)
            made = exchanged(operand, new, site, place.kind)
            if site.operation == place.first:
                acted = acting.to(operand.dtype).to("cpu", torch.float32, copy=True)
                self.acted[place.layer, place.kind] = acted
        if made is operand:
            return args
        if site.operand == 0 and site.name.endswith("_"):
            operand.copy_(made)  # the product is to be written there
            return args
        return (*args[: site.operand], made, *args[site.operand + 1 :])

    def _of_factors(
        self, place: GatePlace, site: Site, by: Replacement, old: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A gate that is a product: the first factor stands for all, the others become ones."""
        whole = self._values[place.layer, place.kind].to(old.device, old.dtype)
        acting = by(whole).expand_as(whole)
        whole_new = acting if site.operation == place.first else torch.ones_like(whole)
        return torch.where(acting == whole, old.expand_as(whole), whole_new), acting


def _other_way() -> CaptureError:
    return CaptureError(
        "With this input, or after a gate before it was replaced, the network went another way "
        "than in the forward that was learnt, so that its gates could not be found. Run it again: "
        "every forward of this network will be learnt first from now on."
    )
