"""What a capture is asked for besides the gates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..._text import nearest
from ...attention import Attention
from ...errors import CaptureError
from ...layer_names import no_such_layer

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

    @property
    def named(self) -> list[str]:
        """Every layer that is asked for by its name, sorted."""
        asked = (one for one in (self.features, self.steps) if not isinstance(one, bool))
        return sorted(frozenset().union(*asked))

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


def demand_possible(named: Iterable[str], modules: Sequence[str], known: Sequence[str]) -> None:
    """Refuse before any forward a layer that is called as no module of the network.

    `modules` are all of their names, and `known` those that are sure to be layers.

    Raises:
        CaptureError: the text gives near names.
    """
    for name in named:
        if name in modules or _module_of(name) in modules:  # a module may be called se#2
            continue
        if known:
            raise CaptureError(no_such_layer(known, name, by_place=False))
        raise CaptureError(
            f"The network has no attention layer {name!r}, nor any module of that name; near ones "
            f"are {', '.join(nearest(modules, name))}. list(capture(model, x)) names its layers."
        )


def demand_found(named: Iterable[str], results: Sequence[Attention]) -> None:
    """Refuse what none of these forwards had.

    Raises:
        CaptureError: the text says why, or gives near names.
    """
    if not results:
        return
    layers = list(dict.fromkeys(name for one in results for name in one))
    for name in named:
        if name in layers:
            continue
        module = _module_of(name)
        reasons = [u.reason for one in results for u in one.unsupported if u.module == module]
        if reasons:
            raise CaptureError(f"The attention of {module} cannot be captured: {reasons[0]}.")
        if any(module in one.not_called for one in results):
            raise CaptureError(
                f"{module} did not run in this forward, so there is nothing of it. Leave it out, "
                "or give an input on which it runs."
            )
        if not layers:  # said already of all of them
            continue
        raise CaptureError(no_such_layer(layers, name, by_place=False))


def _module_of(layer: str) -> str:
    return layer.partition("#")[0]


def _among(layer: str, asked: Layers) -> bool:
    return asked if isinstance(asked, bool) else layer in asked
