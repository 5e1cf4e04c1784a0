"""One shard's photos through the network: read, prepared, shown together, and what came of each.

Where decoding has threads of its own (`threads`), photos are read and prepared while the network
is at others; without, each process does one thing at a time, and several processes share the cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cbam_viz.analysis import Analysis, analyse_inputs
from cbam_viz.attention import Attention
from cbam_viz.batch.settings import Settings
from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.opening import Opener
from cbam_viz.errors import CbamVizError, ImageError
from cbam_viz.images import ModelInput, Photo, read_for_network, read_photo, resized_size
from cbam_viz.models.feed import input_of

if TYPE_CHECKING:
    from torch import Tensor

    from cbam_viz.images import InputSpec, View
    from cbam_viz.models import LoadedModel

DRAFT = "draft"
"""The way of `fast.WAYS` that is taken here: JPEGs are decoded at a part of their size."""
DRAFT_TIMES = 5
"""How many times as large as what it is resized to a photo stays at least: of 24 photos the largest
difference of a gate of the demo networks was 0.14 at 2 times, 0.06 at 3, 0.031 at 4, 0.027 at 5."""
AHEAD = 4
"""Batches that are prepared, and waiting for others of their size, at a time."""
_NO_PIXELS = np.zeros((1, 1, 3), np.uint8)
NO_MEMORY = "There was not enough memory for it."

Result = Analysis | str
"""Of one photo; a text says why there is none."""
Prepared = tuple[Photo, ModelInput]


@dataclass(frozen=True)
class Looker:
    """A network, how photos are made into its input, and how it is run."""

    loaded: LoadedModel
    settings: Settings
    batch: int
    threads: int = 0
    """That read and prepare photos ahead; 0: none but the caller's own."""
    forward: Callable[[Tensor], Attention] | None = None
    """In place of capturing the network as it is."""

    def results(
        self, items: Sequence[Item], done: Callable[[int], None] = lambda _: None
    ) -> list[Result]:
        """What came of each photo, in order; `done` is told how many more are through."""
        return self.results_of(self._prepared(items), done)

    def results_of(
        self, prepared: Iterable[Prepared | str], done: Callable[[int], None] = lambda _: None
    ) -> list[Result]:
        """The same of photos that are prepared, or of which a text says why they are not."""
        results: dict[int, Result] = {}
        told = 0
        for positions, group in self._groups(prepared, results):
            results |= zip(positions, self._look(group), strict=True)
            done(len(results) - told)
            told = len(results)
        done(len(results) - told)
        return [results[position] for position in range(len(results))]

    def _groups(
        self, photos: Iterable[Prepared | str], results: dict[int, Result]
    ) -> Iterator[tuple[list[int], list[Prepared]]]:
        """Photos of one input size, as many as go together; the same groups for the same photos."""
        waiting: dict[tuple[int, ...], list[tuple[int, Prepared]]] = {}
        for position, prepared in enumerate(photos):
            if isinstance(prepared, str):
                results[position] = prepared
                continue
            size = tuple(prepared[1].tensor.shape)
            waiting.setdefault(size, []).append((position, prepared))
            full = len(waiting[size]) == self.batch
            if not full and sum(map(len, waiting.values())) >= AHEAD * self.batch:
                size = max(waiting, key=lambda one: len(waiting[one]))  # of equals the oldest
                full = True
            if full:
                yield _apart(waiting.pop(size))
        yield from map(_apart, waiting.values())

    def _prepared(self, items: Sequence[Item]) -> Iterator[Prepared | str]:
        opener = Opener(self.settings.columns)
        try:
            if not self.threads:
                yield from (self.prepared(opener, item) for item in items)
                return
            with ThreadPoolExecutor(self.threads) as pool:
                coming: list[Future[Prepared | str]] = []
                for item in items:
                    coming.append(pool.submit(self.prepared, opener, item))
                    if len(coming) > AHEAD * self.batch:
                        yield coming.pop(0).result()
                yield from (one.result() for one in coming)
        finally:
            opener.close()

    def prepared(self, opener: Opener, item: Item) -> Prepared | str:
        """Read one photo and make its input; a text says why there is none."""
        try:
            photo = self.read(opener, item)
            made = input_of(self.loaded, photo, self.settings.view)
        except (CbamVizError, MemoryError) as error:
            return str(error) or NO_MEMORY
        # Its pixels are not needed any more, and would take most of the memory.
        bare = replace(photo, pixels=_NO_PIXELS, values=None, in_srgb=None, buffered=None)
        return bare, made

    def read(self, opener: Opener, item: Item) -> Photo:
        """Read one photo. Raises ImageError."""
        index, window = self.settings.index, self.settings.window or self.loaded.spec.window
        content = opener.content(item)
        if self.loaded.transform is not None:  # which takes the pixels
            return read_photo(content, name=item.name, window=window, index=index)
        least = partial(least_size, self.loaded.spec, self.settings.view)
        return read_for_network(
            content,
            name=item.name,
            window=window,
            index=index,
            least=least if DRAFT in self.settings.fast else None,
        )

    def _look(self, group: list[Prepared]) -> list[Result]:
        """Run photos together, and each alone if that fails: one of them may be the cause."""
        try:
            # What was made for a full batch takes no other number: the last photo fills it up.
            padded = group
            if self.forward is not None:
                padded = [*group, *(self.batch - len(group)) * group[-1:]]
            found = analyse_inputs(self.loaded, padded, forward=self.forward)
            return list(found[: len(group)])
        except (CbamVizError, MemoryError) as error:
            if len(group) > 1:
                return [one for alone in group for one in self._look([alone])]
            return [str(error) or NO_MEMORY]


def least_size(spec: InputSpec, view: View, photo: tuple[int, int]) -> tuple[int, int]:
    """Height and width below which `draft` does not go, of a photo of some height and width."""
    height, width = resized_size(photo, spec, view)
    return DRAFT_TIMES * height, DRAFT_TIMES * width


def first_photos(looker: Looker, items: Iterator[Item], count: int) -> list[Prepared]:
    """The first photos that can be read. Raises ImageError, with the first reason, if none can."""
    return [prepared for _, prepared in first_readable(looker, items, count)]


def first_readable(
    looker: Looker, items: Iterator[Item], count: int
) -> list[tuple[Item, Prepared]]:
    """The same, with where each lies."""
    opener, found, reasons = Opener(looker.settings.columns), [], []
    try:
        for item in items:
            prepared = looker.prepared(opener, item)
            if isinstance(prepared, str):
                reasons.append(prepared)
            else:
                found.append((item, prepared))
            if len(found) == count:
                return found
    finally:
        opener.close()
    if not found:
        if len(reasons) == 1:
            raise ImageError(f"The one photo cannot be read: {reasons[0]}")
        raise ImageError(f"None of {len(reasons):,} photos can be read. The first: {reasons[0]}")
    return found


def _apart(group: list[tuple[int, Prepared]]) -> tuple[list[int], list[Prepared]]:
    return [position for position, _ in group], [prepared for _, prepared in group]
