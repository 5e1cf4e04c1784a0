"""The values of one gate's operations, and the followed ones among them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from cbam_viz.computation import GateComputation
from cbam_viz.steps.arrange import Sizes
from cbam_viz.steps.groups import Item, items_of, stages_of
from cbam_viz.steps.records import Followed, Values


class GateValues:
    """One gate's operations in stages, and what is followed through them."""

    def __init__(
        self,
        gate: GateComputation,
        value: Tensor,
        followed: Followed,
        weights: Mapping[str, Tensor],
    ) -> None:
        self.gate, self.followed, self._weights = gate, followed, weights
        self._value = value
        """The gate itself, (1, C) or (1, h, w)."""
        channels, rows, columns = gate.features.shape[1:]
        self.sizes = Sizes(channels, rows, columns)
        self.items = items_of(gate, self.sizes)
        self.stages = stages_of(self.items)
        self.last = self._last()
        self.unit = self._strongest_unit()

    def _last(self) -> Item | None:
        """The operation whose result is the gate, value for value; None if none is."""
        if not self.items or self.items[-1].values.values is None:
            return None
        made, gate = self.items[-1].values.values, self._value[0].numpy()
        same = made.shape == gate.shape and np.array_equal(made, gate, equal_nan=True)
        return self.items[-1] if same else None

    def at(self, item: Item) -> list[float]:
        """The followed numbers in an operation's result; several in a stack of maps."""
        values, (row, column) = item.values.values, self.followed.cell
        if values is None:
            return []
        kind = item.values.kind
        if kind == "map":
            return [float(values[row, column])]
        if kind == "maps":
            return [float(one[row, column]) for one in values]
        if kind == "features":
            return [float(values[self.followed.channel, row, column])]
        if kind == "channels":
            return [float(values[self.followed.channel])]
        unit = self.unit if self.unit is not None and self.unit < len(values) else 0
        return [float(values[unit])]

    def _strongest_unit(self) -> int | None:
        """The hidden unit that counts most for the followed channel's logit, either way."""
        for item in self.items:
            if item.family != "dense" or item.values.kind != "channels":
                continue
            matrix = self.matrix_of(item)
            given = [self.items[k].values for k in item.operation.inputs]
            if matrix is None or not given or given[0].kind != "units" or given[0].values is None:
                continue
            if matrix.shape == (self.sizes.channels, len(given[0].values)):
                twins = [
                    self.items[k].values.values
                    for other in self.items
                    if other.weights == item.weights
                    for k in other.operation.inputs
                ]
                units = np.sum([one for one in twins if one is not None], axis=0)
                return int(np.abs(matrix[self.followed.channel] * units).argmax())
        return None

    def matrix_of(self, item: Item) -> Values | None:
        """The weights (n, m) of a layer; None if it has none, or they look around."""
        found = [self._weights[name] for name in item.weights if name in self._weights]
        wide = [one for one in found if one.ndim > 1]
        if not wide or math.prod(wide[0].shape[2:]) != 1:
            return None
        values: Values = wide[0].detach().float().cpu().numpy().reshape(wide[0].shape[:2])
        return values

    def given(self, item: Item) -> tuple[int, ...]:
        """Size of what the operation takes first."""
        for operand in item.operation.operands:
            if operand.operation is not None:
                return (math.prod(self.items[operand.operation].values.shape),)
        return ()

    def weight_at(self, name: str, place: int = 0) -> float:
        """One number of a parameter or buffer."""
        return float(self._weights[name].detach().flatten()[place])
