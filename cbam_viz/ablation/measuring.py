"""`effects`: how much each gate of a network matters for a score, with an interval over photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from cbam_viz._text import quoted
from cbam_viz.ablation.forwards import Forwards
from cbam_viz.ablation.learnt import GateName, Learned
from cbam_viz.ablation.over_photos import batches_of
from cbam_viz.ablation.replacements import Replacement, Wish, replacement
from cbam_viz.ablation.results import Effect, Effects, Unit
from cbam_viz.ablation.scores import (
    Score,
    Values,
    check,
    class_number,
    class_scores,
    measured,
    name_of,
)
from cbam_viz.ablation.wishes import KINDS, matching
from cbam_viz.computation import GateKind
from cbam_viz.errors import CaptureError, MetricError
from cbam_viz.metrics import bootstrap_interval
from cbam_viz.predictions import ClassScores

T = TypeVar("T", bound=str)
UNITS: tuple[Unit, ...] = ("gate", "stage", "all")
BATCH = 2
"""Photos in one forward: what lies before each gate is kept for all of them."""


def effects(
    model: nn.Module,
    inputs: Tensor | Iterable[Tensor],
    score: Score | Sequence[Score] = "probability",
    *,
    targets: Sequence[int | None] | None = None,
    by: Wish = "one",
    layers: str = "*",
    kinds: Sequence[GateKind] = KINDS,
    units: Sequence[Unit] = ("gate", "all"),
    names: Sequence[str] | None = None,
    batch: int | None = None,
    level: float = 0.95,
    seed: int = 0,
    reuse: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Effects:
    """Replace each gate in turn, and all at once, and measure what that does to a score.

    Every photo is its own control: the unchanged network's score is subtracted. What lies before a
    gate is computed once for all of them where that is exact; `Effects.whole` says if it was not.

    Args:
        model: a network in eval mode.
        inputs: (N, C, H, W), or tensors (C, H, W) or (B, C, H, W) of any sizes, as the network
            takes them.
        score: see `Score`; several to be measured in the same forwards.
        targets: the photos' classes; None, or None for a photo: what the unchanged network says.
        by: what replaces a gate, as in `ablate`; `one` takes it away.
        layers: a layer, pattern or stage, as in `ablate`.
        kinds: channel gates, spatial gates or both, which are replaced apart.
        units: single gates, all of a stage at once, all of the network at once.
        names: of the photos, for tables.
        batch: photos in one forward; by default 2, and 1 where a score is a function of one's own.
        level: of the bootstrap intervals.
        seed: of the bootstrap.
        reuse: False to run the whole network each time.
        progress: called with the number of photos that are done.

    Raises:
        CaptureError: a layer is not there, a gate cannot be replaced by this, or the network is in
            train mode.
        MetricError: the output has no such score, or a target is no class of the network.
        NoAttentionError: the network has no gates.
    """
    scores = list(score) if isinstance(score, Sequence) and not isinstance(score, str) else [score]
    photos = [one for batch in batches_of(inputs) for one in batch.split(1)]  # type: ignore[no-untyped-call]
    _check_counts(photos, targets, names)
    check(scores, labelled=targets is not None and all(one is not None for one in targets))
    measuring = Measuring(
        model, scores, by=by, layers=layers, kinds=kinds, units=units, batch=batch, reuse=reuse
    )
    for k, photo in enumerate(photos):
        name = str(k + 1) if names is None else names[k]
        measuring.add(photo, name, None if targets is None else targets[k])
        if progress is not None:
            progress(measuring.done)
    measuring.flush()
    if progress is not None:
        progress(measuring.done)
    return measuring.result(level=level, seed=seed)


class Measuring:
    """Effects on photos that come one by one, as `effects` measures them."""

    def __init__(
        self,
        model: nn.Module,
        scores: Sequence[Score],
        *,
        by: Wish = "one",
        layers: str = "*",
        kinds: Sequence[GateKind] = KINDS,
        units: Sequence[Unit] = ("gate", "all"),
        batch: int | None = None,
        reuse: bool = True,
        go_on: Callable[[int, int], bool] | None = None,
    ) -> None:
        """See `effects`; `go_on` is for measuring one photo while somebody waits.

        It is called after each replacement with how many are done and how many there are. Once it
        says no, the others have no row, and a sentence of `Effects.skipped` says so.
        """
        self._model, self._scores, self._by, self._reuse = model, scores, by, reuse
        self._go_on = go_on
        self._layers = layers
        self._kinds = _among("gate", kinds, KINDS)
        self._units = _among("unit", units, UNITS)
        if batch is not None and batch < 1:
            raise MetricError(f"At least one photo goes into a forward, not {batch}.")
        classes_alone = all(isinstance(one, str) for one in scores)
        self._batch = batch or (BATCH if classes_alone else 1)
        self._waiting: dict[tuple[int, ...], list[_Photo]] = {}
        self._came: list[_Photo] = []
        self._before: dict[str, dict[_Photo, float]] = defaultdict(dict)
        self._after: dict[tuple[Unit, str, Any, str], dict[_Photo, float]] = defaultdict(dict)
        self._targets: dict[_Photo, int] = {}
        self._where: ClassScores | None = None
        self._whole = self._text = ""
        self._left_out: dict[str, None] = {}
        self.lost: tuple[str, ...] = ()
        """The names of the photos in the forward that failed last."""

    @property
    def waits(self) -> bool:
        """Whether photos still wait for others of their size."""
        return bool(self._waiting)

    @property
    def done(self) -> int:
        """How many photos have been measured."""
        return len(next(iter(self._before.values()), ()))

    def add(self, x: Tensor, name: str, target: int | None = None) -> None:
        """Measure one photo, (1, C, H, W), once as many of its size have come as go together.

        Raises what `effects` raises; the photos that came together are then left out.
        """
        number = class_number(target)
        photo = _Photo(name, -1 if number is None else number, x)
        self._came.append(photo)
        waiting = self._waiting.setdefault(tuple(x.shape), [])
        waiting.append(photo)
        if len(waiting) == self._batch:
            self._measure(self._waiting.pop(tuple(x.shape)))

    def flush(self) -> None:
        """Measure the photos that still wait. Raises as `add` does."""
        while self._waiting:
            self._measure(self._waiting.popitem()[1])

    def result(self, *, level: float = 0.95, seed: int = 0) -> Effects:
        """The effects on all photos that were measured.

        Raises:
            CaptureError: a gate ran for some of the photos only.
            MetricError: none was measured.
        """
        photos = [one for one in self._came if one.x is None]
        if not photos:
            raise MetricError("There is no photo to measure effects on.")
        rows = []
        for (unit, name, kind, score), after in self._after.items():
            if len(after) < len(photos):
                raise CaptureError(
                    f"{name or 'A gate'} ran for {len(after)} of {len(photos)} photos only, so "
                    "that its effect is none on all of them. Measure the photos apart."
                )
            before = np.array([self._before[score][one] for one in photos])
            later = np.array([after[one] for one in photos])
            interval = None
            if len(photos) > 1:
                interval = bootstrap_interval(later - before, level=level, seed=seed)
            rows.append(Effect(unit, name, kind, score, before, later, interval))
        return Effects(
            tuple(rows),
            self._text,
            tuple(one.name for one in photos),
            tuple(map(name_of, self._scores)),
            tuple(self._targets[one] for one in photos) if self._targets else None,
            level,
            seed,
            self._whole,
            tuple(self._left_out),
        )

    def _measure(self, photos: list[_Photo]) -> None:
        """One batch: unchanged, and with each group of gates replaced."""
        self.lost = tuple(one.name for one in photos)
        x = torch.cat([one.x for one in photos if one.x is not None])
        given = np.array([one.target for one in photos], dtype=np.int64)
        forwards = Forwards(self._model, x, reuse=self._reuse)
        learned = forwards.learned
        groups = _groups(learned, self._layers, self._kinds, self._units)
        wanted = {gate: self._replacement(gate) for group in groups.values() for gate in group}
        first = [min(group, key=lambda g: learned.gates[g].first) for group in groups.values()]
        output = forwards.unchanged(first)
        self._where = self._where or class_scores(
            output, len(photos), self._scores, self._model, forwards.bare
        )
        plain = measured(output, len(photos), self._scores, given, self._where)
        targets = given if plain.top is None else np.where(given < 0, plain.top, given)
        if "agreement" in plain.values:  # with itself, whatever the labels say
            plain.values["agreement"] = np.ones(len(photos))
        after: dict[tuple[Unit, str, Any, str], Values] = {}
        own = [plain.top if score == "agreement" else targets for score in self._scores]
        for done, (key, group) in enumerate(groups.items(), 1):
            output = forwards.replaced({gate: wanted[gate] for gate in group})
            for score, classes in zip(self._scores, own, strict=True):
                found = measured(output, len(photos), [score], classes, self._where)
                after |= {(*key, name): values for name, values in found.values.items()}
            if self._go_on is not None and not self._go_on(done, len(groups)):
                self._leave(len(groups) - done, len(groups))
                break
        for name, values in plain.values.items():
            self._before[name].update(zip(photos, values, strict=True))
        for place, values in after.items():
            self._after[place].update(zip(photos, values, strict=True))
        if plain.top is not None:
            self._targets.update(zip(photos, map(int, targets), strict=True))
        for one in photos:
            one.x = None
        self._whole = self._whole or forwards.whole
        self._left_out |= dict.fromkeys(
            f"{one.module} was not replaced: {one.reason}." for one in learned.unsupported
        )
        self._left_out |= dict.fromkeys(
            f"The {kind} gate of {layer} was not replaced: where it multiplies was not seen as one "
            "plain product."
            for layer, kind in learned.values
            if (layer, kind) not in learned.gates
        )

    def _leave(self, count: int, of: int) -> None:
        if count:
            was = "was" if count == 1 else "were"
            self._left_out[
                f"{count} of {of} replacements {was} not measured: it took too long."
            ] = None

    def _replacement(self, gate: GateName) -> Replacement:
        by = replacement(self._by, *gate)
        self._text = self._text or by.text
        return by


@dataclass(eq=False)
class _Photo:
    """A photo that came."""

    name: str
    target: int
    """-1 for the class that the unchanged network gives."""
    x: Tensor | None
    """Its input, until it has been measured."""


def _groups(
    learned: Learned, layers: str, kinds: Sequence[GateKind], units: Sequence[Unit]
) -> dict[tuple[Unit, str, str], list[GateName]]:
    """The gates that are replaced together."""
    names = set(matching(layers, learned))
    gates = [gate for gate in learned.gates if gate[0] in names and gate[1] in kinds]
    if not gates:
        raise CaptureError(f"{layers!r} has no {' or '.join(kinds)} gate that could be replaced.")
    groups: dict[tuple[Unit, str, str], list[GateName]] = {}
    if "gate" in units:
        groups |= {("gate", *gate): [gate] for gate in gates}
    for kind in dict.fromkeys(kind for _, kind in gates):
        alike = [gate for gate in gates if gate[1] == kind]
        if "stage" in units:
            for gate in alike:
                groups.setdefault(("stage", learned.layers[gate[0]].stage, kind), []).append(gate)
        if "all" in units:
            groups["all", "", kind] = alike
    if "all" in units and len({kind for _, kind in gates}) == 2:
        groups["all", "", "both"] = gates
    return groups


def _among(what: str, given: Sequence[T] | T, choices: Sequence[T]) -> tuple[T, ...]:
    """Those that were given, or the one; raises MetricError for others."""
    chosen = (given,) if isinstance(given, str) else tuple(given)
    wrong = [one for one in chosen if one not in choices]
    if wrong or not chosen:
        named = f"There is no {what} {quoted(wrong[0])}" if wrong else f"No {what} was named"
        raise MetricError(f"{named}: take {' or '.join(map(str, choices))}.")
    return chosen


def _check_counts(
    photos: Sequence[Tensor], targets: Sequence[Any] | None, names: Sequence[str] | None
) -> None:
    for what, given in (("targets", targets), ("names", names)):
        if given is not None and len(given) != len(photos):
            raise MetricError(f"There are {len(photos)} photos and {len(given)} {what}.")
