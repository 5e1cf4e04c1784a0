"""A store of many photos as what a figure is made from, in place of analysed photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cbam_viz._text import counted
from cbam_viz.analysis import Analysis, analyse
from cbam_viz.dataset import Store, gate_summary
from cbam_viz.dataset.against import differing
from cbam_viz.dataset.gates import left_out
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import Study
from cbam_viz.images import DEFAULT_VIEW, Photo, View
from cbam_viz.layer_names import find_name, no_such_layer, short_names
from cbam_viz.models import LoadedModel


@dataclass(frozen=True)
class StoreStudy(Study):
    """One store, or two; `analyses` are photos that are shown, of the store or beside it."""

    stores: tuple[Store, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.stores:
            raise FigureError("A figure of a store needs one.")

    @property
    def store(self) -> Store:
        """The first."""
        return self.stores[0]

    @property
    def networks(self) -> tuple[str, ...]:
        """Of each store."""
        return tuple(str(store.record.document["model"]) for store in self.stores)

    @property
    def view(self) -> View:
        """What the first network saw of the photos."""
        view: View = self.store.record.document["view"]
        return view

    @property
    def fed(self) -> tuple[str, ...]:
        """What each network was fed, in a sentence."""
        return tuple(str(one.record.document["input"].get("sentence", "")) for one in self.stores)

    @property
    def assumed(self) -> tuple[str, ...]:
        """Of `fed`, what had to be assumed; empty where nothing was."""
        inputs = (store.record.document["input"] for store in self.stores)
        return tuple(str(one.get("sentence", "")) if one.get("assumed") else "" for one in inputs)

    @property
    def total(self) -> int:
        """Photos in the first store."""
        return int(self.store.photos.num_rows)

    def with_analyses(self, analyses: Sequence[Analysis]) -> StoreStudy:
        """The same with photos that are shown."""
        return replace(self, analyses=tuple((one,) for one in analyses))


def study_beside(
    stores: Sequence[Store],
    networks: Sequence[LoadedModel] = (),
    photos: Iterable[Photo] = (),
    view: View = DEFAULT_VIEW,
) -> StoreStudy:
    """Stores, with photos beside them as the first network sees them.

    Raises:
        FigureError: if a store is of another network, view or input than the photos.
        CbamVizError: if the network cannot be shown them.
    """
    if not networks:
        return StoreStudy((), stores=tuple(stores))
    check_beside(stores, networks[0], view)
    analyses = tuple((analyse(networks[0], photo, view),) for photo in photos)
    return StoreStudy(analyses, stores=tuple(stores))


def check_beside(stores: Iterable[Store], network: LoadedModel, view: View) -> None:
    """Raise FigureError if a store is of another network, view or input than photos beside it."""
    for store in stores:
        reason = differing(store, network, view)
        if reason:
            raise FigureError(
                f"A photo cannot be compared with {store.path}, which was made with {reason}."
            )


def channel_layers(study: StoreStudy, spec: FigureSpec) -> tuple[str, ...]:
    """The layers that are asked for, by name, that have channel weights in the store.

    None are asked for: all of them.

    Raises:
        FigureError: for one that is not there or has none.
    """
    with_weights = [layer for layer, _ in study.store.gates("channel")]
    if not with_weights:
        raise FigureError(f"{study.store.path} has no channel weights, which this figure is of.")
    chosen: dict[str, None] = {}
    for name in spec.named_layers:
        found = find_name(study.store.named, name)
        if found is None:
            raise FigureError(no_such_layer(list(study.store.named), name))
        if found not in with_weights:
            raise FigureError(f"The layer {found} has no channel weights in {study.store.path}.")
        chosen[found] = None
    return tuple(chosen) or tuple(with_weights)


def last_of_stages(study: StoreStudy) -> tuple[str, ...]:
    """The last layer with channel weights of each stage."""
    stage = {one["name"]: one["stage"] for one in study.store.layers}
    last = {stage[layer]: layer for layer, _ in study.store.gates("channel")}
    return tuple(last.values())


def heads(study: StoreStudy) -> dict[str, str]:
    """What each layer of the store is called over its picture."""
    return short_names([layer for layer, _ in study.store.gates()])


def photos_sentence(study: StoreStudy, spec: FigureSpec) -> str:
    """Which photos the numbers are of."""
    missing = study.store.record.shards - len(study.store.files)
    are = "is" if missing == 1 else "are"
    of = study.store.record.shards
    part = f", of which {missing} of {of} parts {are} missing" if missing else ""
    if spec.per_class is None:
        all_of = "The one photo" if study.total == 1 else f"All {study.total:,} photos"
        return f"{all_of} of the store{part}"
    return (
        f"Of each class {counted(spec.per_class, 'photo')}, evenly spaced in the order of the "
        f"store, or all where it has fewer{part}"
    )


def missing_sentences(study: StoreStudy, layers: Sequence[str]) -> list[str]:
    """Of which of these layers not all photos' channel weights count; see `left_out`."""
    found = [gate_summary(study.store, layer, "channel") for layer in layers]
    return [one.removesuffix(".") for one in left_out(study.store, found)]
