"""Which gates of a network are meant: names, wildcards, stages, channel and spatial apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from cbam_viz._text import few, nearest
from cbam_viz.ablation.learnt import GateName, Learned
from cbam_viz.ablation.replacements import Replacement, Wish, replacement
from cbam_viz.computation import GateKind
from cbam_viz.errors import CaptureError
from cbam_viz.layer_names import find_called

KINDS: tuple[GateKind, ...] = ("channel", "spatial")
GATES: dict[GateKind, str] = {"channel": "the channel weights", "spatial": "the spatial map"}
"""What a layer's gates are called in sentences."""
Wishes = Mapping[str, Wish | Mapping[GateKind, Wish]]


def wanted(wishes: Iterable[tuple[str, Wish]], learned: Learned) -> dict[GateName, Replacement]:
    """What each gate that is meant is replaced by; of several wishes for one gate, the last.

    Raises:
        CaptureError: a wish names a layer or a gate that is not there, that did not run, or that
            cannot be replaced.
    """
    found: dict[GateName, Replacement] = {}
    for pattern, wish in wishes:
        apart = dict(wish) if isinstance(wish, Mapping) else dict.fromkeys(KINDS, wish)
        wrong = [kind for kind in apart if kind not in KINDS]
        if wrong or not apart:
            found_there = f", not {wrong[0]!r}" if wrong else f": say which of {pattern} is meant"
            raise CaptureError(f"A gate is 'channel' or 'spatial'{found_there}.")
        layers = matching(pattern, learned)
        gates = [(layer, kind) for layer in layers for kind in KINDS if kind in apart]
        there = [gate for gate in gates if gate in learned.gates]
        missing = [gate for gate in gates if gate in learned.values and gate not in learned.gates]
        if missing:
            raise CaptureError(
                f"The {missing[0][1]} gate of {missing[0][0]} cannot be replaced: where it "
                "multiplies was not seen as one plain product."
            )
        if not there:
            kinds = " or ".join(apart)
            raise CaptureError(f"{few(layers)} has no {kinds} gate that could be replaced.")
        for layer, kind in there:
            found[layer, kind] = replacement(apart[kind], layer, kind)
    return found


def matching(pattern: str, learned: Learned) -> list[str]:
    """Layers of this name, in this stage, or that match this pattern, in order of execution.

    Raises:
        CaptureError: there are none.
    """
    if pattern in learned.layers:
        return [pattern]
    found = [
        name
        for name, place in learned.layers.items()
        if pattern == place.stage or fnmatchcase(name, pattern)
    ]
    others = [
        one
        for one in learned.unsupported
        if pattern == one.module or fnmatchcase(one.module, pattern)
    ]
    if found:
        if others:
            warnings.warn(
                f"{pattern!r} also means attention that cannot be replaced: "
                f"{few([f'{one.module} ({one.reason})' for one in others])}.",
                stacklevel=2,
            )
        return found
    if others:
        raise CaptureError(f"{others[0].module} cannot be replaced: {others[0].reason}.")
    asleep = [name for name in learned.not_called if pattern == name or fnmatchcase(name, pattern)]
    if asleep:
        raise CaptureError(f"{asleep[0]} did not run in this forward, so it has no gate there.")
    called = find_called(learned.layers, pattern)
    if called is not None:
        return [called]
    known = nearest([*learned.layers], pattern, 6)
    more = len(learned.layers) - len(known)
    listed = few(known, shown=6) + (f" and {more} more" if more else "")
    raise CaptureError(
        f"There is no layer {pattern!r}: the network has "
        f"{listed or 'no gate that could be replaced'}."
    )
