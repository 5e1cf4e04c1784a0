"""The stores on offer, opened, and what is kept of them by their shards, for all visitors."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import streamlit as st

from cbam_viz._places import SAMPLE, stores_folder
from cbam_viz.batch.record import GATES, PLAN, STORE, read_record
from cbam_viz.dataset import (
    Change,
    GateSummary,
    Ranked,
    Store,
    compare_stores,
    extremes,
    gate_summary,
    neighbours,
    open_store,
    sample_stores,
    unusual,
)
from cbam_viz.dataset.comparing import common_gates
from cbam_viz.dataset.gates import summaries_of
from cbam_viz.dataset.reading import SAMPLES, Part
from cbam_viz.dataset.sums import is_summed, sums_of, telling
from cbam_viz.errors import StoreError
from cbam_viz.layer_names import titles
from cbam_viz.ui import folders
from cbam_viz.ui.parts.progress import progress
from cbam_viz.ui.words import layer_beside, plain

PHOTOS = "photos"
"""In the folder of stores: folders of photos to make stores of. No store is called so."""
COUNT = 8
"""Photos in a list."""
_NO_SUMS = "This store has no sums yet. They are made once:"


@dataclass(frozen=True)
class Opened:
    """A store as it is now. Equal to another one if nothing has been written since."""

    name: str
    version: str
    """Of `store.json` and the shards: their names, sizes and times."""
    store: Store = field(compare=False, repr=False)

    @property
    def key(self) -> Hashable:
        """What results are kept by."""
        return str(self.store.path), self.version

    @cached_property
    def digests(self) -> frozenset[str]:
        """SHA-256 of its photos."""
        return frozenset(self.store.photos["sha256"].to_pylist())

    @cached_property
    def titles(self) -> dict[str, str]:
        """What to call its layers."""
        return titles(self.store.named.values()).layers

    def option(self, layer: str) -> str:
        """A layer in a list to choose from."""
        return layer_beside(layer, self.titles[layer])

    @property
    def channel_layers(self) -> list[str]:
        """Layers that have channel weights, in order of execution."""
        return [layer for layer, _ in self.store.gates("channel")]

    @property
    def gates(self) -> list[tuple[str, Part]]:
        """Every gate that can be summed up: maps that differ in size cannot."""
        return self.store.summable


def names() -> list[str]:
    """The visitors' own stores, and then those that come along."""
    return [*own(), *(SAMPLE + name for name in sample_stores())]


def own() -> list[str]:
    """The stores of the folder, also those that are only begun; what to compare with."""
    return [one.name for one in folders.offered(stores_folder()) if _is_store(one)]


def say_if_gone(before: str | None, name: str, names: Sequence[str]) -> None:
    """Say that the store which was chosen is not in the list any more, and which is shown."""
    if before is not None and before not in names:
        st.info(
            f"The store {plain(before)} is no longer there, so this is {plain(title(name))}.",
            icon=":material/info:",
        )


def title(name: str) -> str:
    """What to call a store in the list."""
    return f"{name.removeprefix(SAMPLE)} (example)" if name.startswith(SAMPLE) else name


def folders_of_photos() -> list[str]:
    """What lies in `photos` of that folder and can be made a store of."""
    return [one.name for one in folders.offered(stores_folder() / PHOTOS)]


def _is_store(folder: Path) -> bool:
    if folder.name == PHOTOS:
        return False
    return any((folder / one).exists() for one in (STORE, PLAN, GATES))


def opened(name: str) -> Opened:
    """Open a store of the list. Raises StoreError, in a sentence, for one that cannot be read."""
    if name.startswith(SAMPLE):
        path = SAMPLES / name.removeprefix(SAMPLE)
    else:
        path = stores_folder() / name
    if not (path / STORE).is_file():
        if not (path / PLAN).exists():  # which is written before anything else
            raise StoreError(
                f"{name} holds a folder {GATES} and neither {STORE} nor {PLAN}, so it is no store. "
                "Take it away; if it was one, make it anew."
            )
        raise StoreError(
            f"The store {name} is being begun: the run that makes it has not got to its first "
            "photo, or was stopped before it. Come back when it has."
        )
    version = folders.version(path, _files(path))
    return Opened(name, version, _open(str(path), version))


def _files(folder: Path) -> Iterator[Path]:
    yield folder / STORE
    yield from sorted((folder / GATES).glob("[0-9]*.parquet"))


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(path: str, version: str) -> Store:
    return open_store(path)


def summary(store: Opened, layer: str, part: Part) -> GateSummary:
    """One gate of all photos; kept beside the store too."""
    _sum_up(store, [(layer, part)])
    return _summary(store.key, layer, part, store.store)


def _sum_up(store: Opened, gates: Sequence[tuple[str, Part]]) -> None:
    """Sum up what is not yet, once, and say how far it is."""
    looked_at = _looked_at(store.key)
    waiting = [
        gate for gate in gates if gate not in looked_at and not is_summed(store.store, *gate)
    ]
    with progress(_NO_SUMS) as report:
        before = 0

        def told(gate: str, done: int, of: int) -> None:
            report((before + done / of) / len(waiting), gate)

        with telling(told):
            for before, gate in enumerate(waiting):  # noqa: B007  it is told of
                sums_of(store.store, *gate)
    looked_at.update(gates)


@contextmanager
def telling_of_sums() -> Iterator[None]:
    """Within it, a store that has to be summed up first says so, and how far each gate is."""
    with (
        progress(_NO_SUMS) as report,
        telling(lambda gate, done, of: report(done / of, gate)),
    ):
        yield


@st.cache_resource(max_entries=8, show_spinner=False)
def _looked_at(key: Hashable) -> set[tuple[str, Part]]:
    """Gates that were summed up here, also where nothing can be kept beside the store."""
    return set()


@st.cache_resource(max_entries=12, show_spinner=False)  # of a thousand classes 50 MB each
def _summary(key: Hashable, layer: str, part: Part, _store: Store) -> GateSummary:
    return gate_summary(_store, layer, part)


def summaries(store: Opened) -> tuple[list[GateSummary], list[str]]:
    """All gates, without those of each class, and what to know of photos that count in none.

    Says how far it is where that takes a while, as the first time of a store without sums.
    """
    gates = store.gates
    _sum_up(store, gates)
    slot = st.empty()

    def one(layer: str, part: Part) -> GateSummary:
        done = gates.index((layer, part)) / len(gates)
        slot.progress(done, f"Summing up {store.titles[layer]} …")
        return _without_classes(store.key, layer, part, store.store)

    try:
        return summaries_of(store.store, gates, summary=one)
    finally:
        slot.empty()


@st.cache_resource(max_entries=1000, show_spinner=False)
def _without_classes(key: Hashable, layer: str, part: Part, _store: Store) -> GateSummary:
    return gate_summary(_store, layer, part).without_classes()


def highest_and_lowest(
    store: Opened, layer: str, channel: int
) -> tuple[list[Ranked], list[Ranked]]:
    """The photos where a channel's weight is highest and lowest."""
    return _extremes(store.key, layer, channel, store.store)


@st.cache_data(max_entries=200, show_spinner="Looking at all photos …")
def _extremes(
    key: Hashable, layer: str, channel: int, _store: Store
) -> tuple[list[Ranked], list[Ranked]]:
    return extremes(_store, layer, channel, COUNT)


def nearest(store: Opened, layer: str, photo: int) -> list[Ranked]:
    """The photos of the most similar channel weights."""
    return _nearest(store.key, layer, photo, store.store)


@st.cache_data(max_entries=200, show_spinner="Looking at all photos …")
def _nearest(key: Hashable, layer: str, photo: int, _store: Store) -> list[Ranked]:
    return neighbours(_store, layer, photo, COUNT)


def most_unusual(store: Opened, layer: str) -> list[Ranked]:
    """The photos whose channel weights are furthest from the mean."""
    _sum_up(store, [(layer, "channel")])
    return _unusual(store.key, layer, store.store)


@st.cache_data(max_entries=200, show_spinner="Looking at all photos …")
def _unusual(key: Hashable, layer: str, _store: Store) -> list[Ranked]:
    return unusual(_store, layer, COUNT)


def have_in_common(one: Opened, name: str) -> bool:
    """Whether a store of the list has a gate of the same name and shape; it is not opened."""
    path = stores_folder() / name
    try:
        other = read_record(path)
    except StoreError:
        return False
    return other is not None and bool(common_gates(one.store, Store(path, other, ())))


def changes(one: Opened, other: Opened) -> list[Change]:
    """What is different in the other store."""
    for each in (one, other):
        _sum_up(each, each.gates)
    return _changes(one.key, other.key, one.store, other.store)


@st.cache_data(max_entries=20, show_spinner="Comparing the stores …")
def _changes(key: Hashable, other: Hashable, _one: Store, _other: Store) -> list[Change]:
    return compare_stores(_one, _other)
