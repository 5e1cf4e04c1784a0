"""Photos of a store by their channel weights: of a channel, nearest to one, unusual ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cbam_viz.dataset import Ranked, Store, extremes, gate_summary, neighbours, unusual
from cbam_viz.dataset.against import few_photos
from cbam_viz.dataset.showing import Seen, seen
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import spatial_map
from cbam_viz.figures.content.grid import Grid, scales_of
from cbam_viz.figures.content.sentences import map_sentences, picture_sentences
from cbam_viz.figures.content.storestudy import StoreStudy, channel_layers, missing_sentences
from cbam_viz.figures.content.values import MapPicture, Picture, Place, Shown, Study
from cbam_viz.images import border_note
from cbam_viz.layer_names import short_names
from cbam_viz.render import Scale

LISTED = {"extremes": 4, "nearest": 7, "unusual": 8}
"""Photos in each list, where it is not said: eight rows in all."""
NUMBERS = {"extremes": "weight", "nearest": "distance", "unusual": "z"}


@dataclass(frozen=True)
class Listed:
    """A photo in the figure."""

    where: str
    """Such as `highest`."""
    photo: Ranked
    seen: Seen


@dataclass(frozen=True)
class RankedPhotos:
    """Photos in order, with the map of the layer that they are ranked by."""

    listed: tuple[Listed, ...]
    layer: str
    number: str
    """What ranks them."""
    about: tuple[str, ...]
    """Sentences."""
    grid: Grid
    filled: FigureSpec

    predicted = ()

    @property
    def map_scale(self) -> Scale | None:
        """See `Content`."""
        return self.grid.scale

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return (self.layer,)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        own = self.filled
        return spec.with_(
            layer=self.layer, layers=(), channel=own.channel, photo=own.photo, listed=own.listed
        )

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`: what ranks each photo, and its map."""
        network = study.networks[0]
        for row, one in enumerate(self.listed, 1):
            told = f"{one.where}: {self.number} {one.photo.value:.9g}"
            if one.photo.label:
                told += f", class {one.photo.label}"
            yield Shown(f"row {row}", one.photo.name, network, "rank", self.layer, None, text=told)
        yield from self.grid.shown(study)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        gone = sum(not one.seen.there for one in self.listed)
        missing = (
            f"{gone} of {len(self.listed)} photos are no longer where they were, or have changed; "
            "a white place stands for them"
        )
        grid = self.grid
        border = border_note(*(one.seen.analysis.geometry for one in self.listed))
        return [
            *self.about,
            missing if gone else "",
            f"Photos are {border}" if border else "",
            *map_sentences(figure.spec, grid.scale, grid.maps),
            *picture_sentences(figure, grid.pictures, len(grid.rows)),
        ]


def content(spec: FigureSpec, study: StoreStudy) -> RankedPhotos:
    """The photos asked for in one layer, the last one by default.

    Raises:
        FigureError: for a layer, channel or photo that the store has not.
    """
    layers = channel_layers(study, spec)
    if len(spec.named_layers) > 1:
        raise FigureError(f"The layout {spec.layout!r} is of one layer; name one.")
    layer, store = layers[0] if spec.named_layers else layers[-1], study.store
    count = spec.listed or LISTED[spec.layout]
    find = {"extremes": _extremes, "nearest": _nearest, "unusual": _unusual}[spec.layout]
    filled, about, ranked = find(spec.with_(listed=count), store, layer)
    listed = tuple(
        Listed(where, photo, seen(store, store.row_of(photo.photo), (layer,)))
        for where, photo in ranked
    )
    about = (
        f"{about[0]} at {layer} of {study.networks[0]}{about[1]}",
        *about[2:],
        *missing_sentences(study, [layer]),
    )
    grid = _grid(spec, listed, layer, study)
    number = NUMBERS[spec.layout]
    return RankedPhotos(listed, layer, number, about, grid, filled)


Found = tuple[FigureSpec, tuple[str, ...], list[tuple[str, Ranked]]]


def _extremes(spec: FigureSpec, store: Store, layer: str) -> Found:
    channel = spec.channel
    if channel is None:
        channel = int(gate_summary(store, layer, "channel").spread.argmax())
    highest, lowest = extremes(store, layer, channel, spec.listed or 1)
    # Where photos are few, the upper half is high and the rest is low.
    there = {one.photo for one in (*highest, *lowest)}
    highest = highest[: -(-len(there) // 2)]
    taken = {one.photo for one in highest}
    rest = [one for one in lowest if one.photo not in taken]
    ranked = [("highest", one) for one in highest] + [("lowest", one) for one in reversed(rest)]
    about = (
        f"The photos of the store where channel {channel}",
        " has the highest weights, from the highest down, then those where it has the lowest, the "
        "lowest last",
        "Beside each photo stand its class, where it has one, and the weight",
    )
    return spec.with_(channel=channel), about, ranked


def _nearest(spec: FigureSpec, store: Store, layer: str) -> Found:
    photo = _wanted(spec, store)
    row = store.row_of(photo)
    told = store.photos.slice(row, 1).to_pylist()[0]
    own = Ranked(photo, told["name"], told["label"], 0.0)
    near = neighbours(store, layer, photo, spec.listed or 1)
    about = (
        f"The photo {told['name']} of the store and those whose channel weights",
        " are nearest to its own",
        "Beside each stand its class, where it has one, and the distance: root mean squared "
        "difference of weights",
    )
    ranked = [("the photo", own), *(("near", one) for one in near)]
    return spec.with_(photo=str(photo)), about, ranked


def _unusual(spec: FigureSpec, store: Store, layer: str) -> Found:
    found = unusual(store, layer, spec.listed or 1)
    if not found and gate_summary(store, layer, "channel").photos < 2:
        raise FigureError(
            f"{store.path} has 1 photo with gates of {layer}: it is unusual among no others. Take "
            "a store of more photos."
        )
    if not found:
        raise FigureError(
            f"Channel weights of {layer} are the same for every photo of the store: none is "
            "unusual."
        )
    photos = gate_summary(store, layer, "channel").photos
    about = (
        "The photos of the store whose channel weights",
        " are furthest from the mean of all photos",
        "Beside each stand its class, where it has one, and z: the root mean square over channels "
        "of (weight - mean) / standard deviation between photos, 1 for an ordinary photo",
        few_photos(photos, "the store").removesuffix("."),
    )
    return spec, about, [("unusual", one) for one in found]


def _wanted(spec: FigureSpec, store: Store) -> int:
    """The photo of that name, or of that number; the first one where none is named."""
    numbers = store.photos["photo"].to_pylist()
    if spec.photo is None:
        return int(numbers[0])
    names = store.photos["name"].to_pylist()
    if spec.photo in names:
        return int(numbers[names.index(spec.photo)])
    if spec.photo.isdecimal() and int(spec.photo) in numbers:
        return int(spec.photo)
    raise FigureError(
        f"{store.path} has no photo {spec.photo!r}. Give a name as the store has it, such as "
        f"{names[0]}, or a number such as {numbers[0]}."
    )


def _grid(spec: FigureSpec, listed: tuple[Listed, ...], layer: str, study: StoreStudy) -> Grid:
    columns, heads = [Column("input")], ["Photo"]
    rows: list[list[Place]] = [[Picture(one.seen.analysis)] for one in listed]
    attention = [one.seen.analysis.attention.get(layer) for one in listed]
    scale = None
    if all(found is not None and found.spatial is not None for found in attention):
        maps = [spatial_map(found) for found in attention if found is not None]
        scales = scales_of(spec, [[values] for values, _ in maps])
        scale = scales[0] if spec.scale != "per map" else None
        columns.append(Column("map", layer))
        heads.append(short_names([name for name, _ in study.store.gates()])[layer])
        for row, one, found_map, own in zip(rows, listed, maps, scales, strict=True):
            row.append(MapPicture(one.seen.analysis, layer, (found_map,), own))
    labels = tuple(_label(spec, one) for one in listed)
    return Grid(tuple(columns), tuple(heads), tuple(map(tuple, rows)), labels, scale)


def _label(spec: FigureSpec, one: Listed) -> str:
    number = "" if one.where == "the photo" else f"{one.photo.value:.3f}"
    start = one.where if spec.layout == "extremes" or not number else ""
    return ", ".join(part for part in (start, one.photo.label or "", number) if part)
