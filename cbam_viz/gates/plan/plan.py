"""How to get a network's gates again without watching it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...attention import Cells, Composition, FoundBy, Unsupported
from ..model.hooks import Sighting
from .checks import Check
from .recipes import Recipe


@dataclass(frozen=True)
class LayerPlan:
    """How to get one layer's gates again without watching."""

    key: str
    module: str
    call: int
    channel: Recipe | None
    spatial: Recipe | None
    cells: Cells | None
    composition: Composition
    verified: bool
    weights: tuple[str, ...]
    check: Check | None

    @property
    def recipes(self) -> list[Recipe]:
        """Of the channel gate and of the map, where there are both."""
        return [recipe for recipe in (self.channel, self.spatial) if recipe is not None]


@dataclass(frozen=True, eq=False)
class Plan:
    """What watching one forward has shown, so that hooks alone suffice for the next ones."""

    layers: tuple[LayerPlan, ...]
    """Layers of unknown classes; those of known ones are hooked anyway."""
    quick: bool
    """True if plain hooks give all gates of these layers, and enough to check them."""
    cells: Mapping[tuple[str, int], Cells]
    """Where the maps of layers of known classes lie, by prefix and call."""
    verified: Mapping[tuple[str, int], bool]
    unsupported: tuple[Unsupported, ...]
    not_called: tuple[str, ...]
    any_size: bool
    """True if all this holds for inputs of other sizes too."""
    trail: frozenset[str]
    """Modules that are followed although no gate is made of what they give."""
    steps: frozenset[Sighting]
    """Their calls, and the gates: what tells whether a forward goes the same way."""
    way: tuple[Sighting, ...]
    """The steps that it took, in order."""
    operations: tuple[Any, ...]
    """What ran, in order: forwards of other sizes do the same if they run the same."""
    draws: bool
    """True if it drew from Python's or NumPy's random numbers."""
    overhangs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """How far each layer's cells reach beyond the input, by the layer's name."""
    order: Mapping[tuple[FoundBy, str, int], int] = field(default_factory=dict)
    """When each layer ran among all, by how it is found, its module and its call."""

    @cached_property
    def root_ways(self) -> frozenset[str]:
        """Whether checks compare what the network itself is given ("in") or returns ("out")."""
        return frozenset(
            way
            for layer in self.layers
            if layer.check is not None
            for name, _, way, _ in (*layer.check.leaves, layer.check.result)
            if not name
        )
