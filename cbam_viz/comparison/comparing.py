"""Networks or photos beside each other: what corresponds, what differs, in values and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz._text import distinct
from cbam_viz.analysis import Analysis, analyse
from cbam_viz.attention import LayerAttention
from cbam_viz.comparison.differing import MapDifference, Mapped, difference
from cbam_viz.comparison.kinship import SAME, UNKNOWN, Kinship, kinship
from cbam_viz.comparison.pairing import Match, correspond
from cbam_viz.errors import MetricError
from cbam_viz.images import DEFAULT_VIEW, Photo, View
from cbam_viz.metrics import pearson, spearman
from cbam_viz.models import LoadedModel
from cbam_viz.statistics import LayerStatistics, doubted, layer_statistics

MOST = 4
"""Sides of one comparison."""
NOT_ONE_PHOTO = (
    "These are different photos, whose places do not correspond, so no map is subtracted from "
    "another."
)
Values = npt.NDArray[np.float64]
Kin = Callable[[int, int, LayerAttention, LayerAttention], Kinship]
"""Whether the channels of a layer of one side (by number) are those of a layer of another side."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of the things that stand beside each other: a network on a photo."""

    title: str
    """What tells it from the others: the network's name, or the photo's."""
    analysis: Analysis

    @property
    def layers(self) -> Mapping[str, LayerAttention]:
        """Captured layers by name, in order of execution; none of a network without gates."""
        return self.analysis.attention

    def mapped(self, layer: LayerAttention) -> Mapped | None:
        """A layer's map with its place on the photo; None if it has no map, or none is known."""
        if layer.spatial is None or layer.cells is None:
            return None
        return Mapped(layer.spatial[0].numpy(), layer.cells, self.analysis.geometry)

    def statistics(self, layer: LayerAttention) -> LayerStatistics:
        """Numbers of a layer on the photo."""
        numbers = layer_statistics(layer, geometry=self.analysis.geometry)
        return doubted([numbers], self.analysis.doubt)[0]


@dataclass(frozen=True, eq=False)
class Channels:
    """The channel weights of two layers that stand beside each other."""

    first: Values
    """(C,)."""
    second: Values
    """(C,), perhaps of another C."""
    kinship: Kinship
    pearson: float | None = None
    """Of the weights, channel by channel; None where these do not correspond, or all are equal."""
    spearman: float | None = None


@dataclass(frozen=True, eq=False)
class Compared:
    """A layer of one side beside the layer of the reference that it corresponds to."""

    side: int
    """Its number among the sides."""
    match: Match
    first: LayerStatistics
    """Numbers of the reference's layer."""
    second: LayerStatistics
    difference: MapDifference | None
    """Of the maps: this side less the reference."""
    no_difference: str
    """Why there is none, a sentence; empty if there is one."""
    channels: Channels | None
    """None if one of the layers has no channel weights."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two to four sides, of which one is the reference that all others are compared with."""

    sides: tuple[Side, ...]
    reference: int
    """Number of the first side that has gates; 0 if none has."""
    pairs: tuple[Mapping[str, Match | None], ...]
    """For each side: the layer that corresponds to each of the reference's, by their names."""
    same_scene: bool
    """True if the photos were said to show the same scene pixel by pixel."""
    kin: Kin = field(repr=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the reference's layers, in order of execution."""
        return tuple(self.sides[self.reference].layers)

    @property
    def others(self) -> tuple[int, ...]:
        """Numbers of the sides that are compared with the reference."""
        return tuple(one for one in range(len(self.sides)) if one != self.reference)

    def layer(self, side: int, name: str) -> LayerAttention | None:
        """What stands on a side for the reference's layer of that name.

        Raises:
            MetricError: the reference has no such layer.
        """
        if name not in self.pairs[side]:
            from cbam_viz.layer_names import find_called, no_such_layer

            found = find_called(self.sides[self.reference].layers, name)
            if found is None:
                raise MetricError(no_such_layer(list(self.layers), name))
            name = found
        match = self.pairs[side][name]
        return None if match is None else self.sides[side].layers[match.layer]

    def no_difference(self, side: int, name: str) -> str:
        """Why a side's map has no difference to the reference's; empty if it has one."""
        first, second = self.sides[self.reference], self.sides[side]
        layer, partner = self.layer(self.reference, name), self.layer(side, name)
        if not second.layers:
            return f"{second.title} has no gates, so there is no map to compare."
        if layer is None or partner is None:
            return f"{second.title} has no layer with the same kind of gate."
        one, other = first.mapped(layer), second.mapped(partner)
        if one is None or other is None:
            whose = first if one is None else second
            return f"{whose.title} has no spatial map in this layer."
        if not all(np.isfinite(each.values).all() for each in (one, other)):
            return "A map holds values that are no finite numbers."
        return self._not_one_photo(first.analysis, second.analysis)

    def _not_one_photo(self, first: Analysis, second: Analysis) -> str:
        if first.photo.sha256 == second.photo.sha256:
            return ""
        if not self.same_scene:
            return NOT_ONE_PHOTO
        if first.photo.size != second.photo.size:
            return "The photos differ in size, so that their pixels do not correspond."
        return ""

    def maps(self, side: int, name: str) -> tuple[Mapped, Mapped] | None:
        """The reference's map and a side's, of which there is a difference; None if there is none.

        Raises MetricError as `layer`.
        """
        layer, partner = self.layer(self.reference, name), self.layer(side, name)
        if layer is None or partner is None or self.no_difference(side, name):
            return None
        first = self.sides[self.reference].mapped(layer)
        second = self.sides[side].mapped(partner)
        return None if first is None or second is None else (first, second)

    def compared(self, side: int, name: str, *, draws: int = 0) -> Compared | None:
        """A side's layer beside the reference's of that name; None if it has none for it.

        `draws` maps of chance say what agreement chance would give. Raises MetricError as `layer`.
        """
        layer, partner = self.layer(self.reference, name), self.layer(side, name)
        match = self.pairs[side][name]
        if layer is None or partner is None or match is None:
            return None
        one, other = self.sides[self.reference], self.sides[side]
        reason, maps = self.no_difference(side, name), self.maps(side, name)
        found = None
        if maps is not None:
            try:
                found = difference(*maps, draws=draws)
            except MetricError as error:
                reason = str(error)
        return Compared(
            side,
            match,
            one.statistics(layer),
            other.statistics(partner),
            found,
            reason,
            self.channels(side, name),
        )

    def rows(self) -> Iterator[tuple[str, Compared]]:
        """Every layer of the reference with what stands for it on every other side."""
        for name in self.layers:
            for side in self.others:
                found = self.compared(side, name)
                if found is not None:
                    yield name, found

    def channels(self, side: int, name: str) -> Channels | None:
        """Channel weights of a side beside the reference's; None where one of them has none."""
        layer, partner = self.layer(self.reference, name), self.layer(side, name)
        weights = [
            one.channel[0].double().numpy()
            for one in (layer, partner)
            if one is not None and one.channel is not None
        ]
        if layer is None or partner is None or len(weights) < 2:
            return None
        first, second = weights
        kin = self.kin(self.reference, side, layer, partner)
        if not kin.corresponds or not all(np.isfinite(one).all() for one in weights):
            return Channels(first, second, kin)
        return Channels(first, second, kin, pearson(first, second), spearman(first, second))


def compare(
    networks: LoadedModel | Sequence[LoadedModel],
    photos: Photo | Sequence[Photo],
    view: View = DEFAULT_VIEW,
    *,
    chosen: Mapping[int, Mapping[str, str]] | None = None,
    same_scene: bool = False,
) -> Comparison:
    """Two to four networks on one photo, or one network on two to four photos.

    A network may have no gates; it then has a prediction only. `chosen` pairs layers by hand: by
    the number of a side, the reference's layers with its own. With `same_scene`, photos of one size
    are said to show the same scene pixel by pixel, as before and after a retouch, so that their
    maps have differences too. Each photo is shown to each network once.

    Raises:
        MetricError: another number of them, or `chosen` names a layer that is not there.
        CbamVizError: whatever `analyse` raises.
    """
    models = [networks] if isinstance(networks, LoadedModel) else list(networks)
    shown = [photos] if isinstance(photos, Photo) else list(photos)
    check_counts(len(models), len(shown))
    looks = [(model, photo) for model in models for photo in shown]
    called = distinct([model.name if len(models) > 1 else photo.name for model, photo in looks])
    sides = [
        Side(title, analyse(model, photo, view, gates=False))
        for title, (model, photo) in zip(called, looks, strict=True)
    ]

    def kin(one: int, other: int, layer: LayerAttention, partner: LayerAttention) -> Kinship:
        return kinship(looks[one][0].model, looks[other][0].model, layer, partner)

    return compare_sides(sides, kin=kin, chosen=chosen, same_scene=same_scene)


def compare_sides(
    sides: Sequence[Side],
    *,
    kin: Kin | None = None,
    chosen: Mapping[int, Mapping[str, str]] | None = None,
    same_scene: bool = False,
) -> Comparison:
    """The same of photos that have been looked at already; `kin` says whose channels correspond.

    Without `kin` nothing is known of that, so that channels are compared as distributions.
    """
    if not 2 <= len(sides) <= MOST:
        raise MetricError(f"Two to four are compared at once, not {len(sides)}.")
    reference = next((number for number, side in enumerate(sides) if side.layers), 0)
    wanted = chosen or {}
    first = sides[reference].layers
    if beyond := sorted(set(wanted) - set(range(len(sides)))):
        raise MetricError(f"Layers are paired on side {beyond[0]}; there are {len(sides)}, from 0.")
    pairs = [
        {name: Match(name, "name") for name in first}
        if number == reference
        else correspond(first, side.layers, wanted.get(number))
        for number, side in enumerate(sides)
    ]
    return Comparison(
        sides=tuple(sides),
        reference=reference,
        pairs=tuple(pairs),
        same_scene=same_scene,
        kin=kin or _unknown,
    )


def of_one_network(
    _one: int, _other: int, layer: LayerAttention, partner: LayerAttention
) -> Kinship:
    """The `kin` of one network on several photos."""
    if layer.name == partner.name:
        return SAME
    return Kinship(False, "They are different layers of one network.")


def check_counts(networks: int, photos: int) -> None:
    """Raise MetricError unless several networks are to look at one photo, or one at several."""
    if min(networks, photos) == 1 and 2 <= max(networks, photos) <= MOST:
        return
    raise MetricError(
        "Compare two to four networks on one photo, or one network on two to four photos, not "
        f"{networks} network{'s' if networks != 1 else ''} on {photos} "
        f"photo{'s' if photos != 1 else ''}."
    )


def _unknown(*_: Any) -> Kinship:
    return Kinship(False, UNKNOWN)
