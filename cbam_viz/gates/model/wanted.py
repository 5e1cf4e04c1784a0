"""What a capture is asked for besides the gates."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

Layers = bool | frozenset[str]
"""All layers, none, or those of these names."""


@dataclass(frozen=True)
class Wanted:
    """The arguments of `capture`."""

    branches: bool = False
    descriptors: bool = False
    features: Layers = False
    steps: Layers = False

    @property
    def extras(self) -> bool:
        """True if more is wanted than a plan for layers of unknown classes gives."""
        return bool(self.branches or self.descriptors or self.features)

    def features_of(self, layer: str) -> bool:
        """Whether the feature maps around the layer of this name, say `se` or `se#2`, are."""
        return _among(layer, self.features)

    def steps_of(self, layer: str) -> bool:
        """Whether the operations of the layer of this name are."""
        return _among(layer, self.steps)

    def features_in(self, module: str) -> bool:
        """Whether the feature maps around some call of this module are."""
        if isinstance(self.features, bool):
            return self.features
        return any(name == module or name.startswith(f"{module}#") for name in self.features)


def layers(asked: bool | str | Collection[str]) -> Layers:
    """What was asked for, as a name alone or in any collection."""
    if isinstance(asked, bool):
        return asked
    return frozenset((asked,) if isinstance(asked, str) else asked)


def _among(layer: str, asked: Layers) -> bool:
    return asked if isinstance(asked, bool) else layer in asked
