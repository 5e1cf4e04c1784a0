"""From what an author saved to a plain dictionary of tensors: wrappers and prefixes removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from cbam_viz._text import quoted, shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.records import Named, Record, mapping_of
from cbam_viz.models.tree import Trees, is_module

_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema_weights",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
)
"""Where training code puts the weights, in order of preference: averaged weights come first, as
timm prefers them."""

_AVERAGED = frozenset(_WRAPPERS[: _WRAPPERS.index("state_dict")])
_NO_WEIGHTS = ("optim", "sched", "scaler", "amp", "rng", "loss", "callbacks")
_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "backbone.",
    "encoder.",
    "net.",
    "network.",
    "ema_model.",
    "student.",
    "feature_extractor.",
)
_MAX_DEPTH = 6
_FEW = 16
"""Entries of a list in which weights are looked for: some save several networks side by side."""
_LONGEST_NAME = 400
_MOST_ENTRIES = 2_000_000
"""Entries of dictionaries that are looked at; thousands of objects may share one dictionary."""


@dataclass
class Weights:
    """Tensors by name, with what was done to get them."""

    tensors: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    """The file's names to ours, where a layout was translated (prefixes aside)."""
    reshaped: list[str] = field(default_factory=list)
    meant: str = ""
    """What to do with such a file if it is none of timm's, in a sentence; empty if not known."""


def find_weights(content: Any, *, prefixes: bool = True) -> Weights:
    """Return the weights in what an author saved, with the names' common prefixes removed.

    Named tensors, or the tensors of a network that was pickled whole. Averaged weights are
    preferred, and the notes say what was taken.

    Raises:
        CheckpointError: there are no named tensors in it.
    """
    place = _best_place(content)
    weights = Weights(_with_short_names(place.tensors))
    if place.path:
        where = quoted(".".join(place.path))
        weights.notes.append(f"The weights were taken from {where} in the file.")
    if isinstance(place.content, Record):
        weights.notes.append(
            f"The file holds them in an object of {shortened(place.content.name)}. Its tensors "
            "were taken; its code was neither needed nor run."
        )
        kind = shortened(place.content.name.rpartition(".")[2])
        weights.meant = (
            f"The file holds an object of {shortened(place.content.name)}: show the code of that "
            f"class as well, --model FILE.py:{kind}, which 'cbam-viz app' takes too."
        )
    if _AVERAGED & set(place.path):
        weights.notes.append("These are the averaged (EMA) weights that the file holds.")
    if prefixes:
        _strip_prefixes(weights)
    return weights


def _with_short_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut and escape names that no network has.

    What searches names need not fear their length then, and what prints or hashes them need not
    fear lone surrogates and what a terminal obeys.
    """
    return {
        name
        if len(name) <= _LONGEST_NAME and name.isprintable()
        else f"{shortened(name, _LONGEST_NAME)}…{place}": tensor
        for place, (name, tensor) in enumerate(tensors.items())
    }


@dataclass
class _Place:
    """A dictionary or an object in a file, under the shortest path of names to it."""

    content: Any
    path: tuple[str, ...]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inside: dict[str, _Place] = field(default_factory=dict)
    most: int = 0
    """Tensors of the place that has most, here and inside."""


def _best_place(content: Any) -> _Place:
    """Go from the whole file to the dictionary of its weights, a name at a time."""
    place = _places(content)
    while not place.tensors or len(place.tensors) < _most_inside(place):
        name = _next_name(place)
        if name is None:
            raise CheckpointError(_why_none(place.content, place.path))
        place = place.inside[name]
    return place


def _places(content: Any) -> _Place:
    """Return the file's dictionaries and objects as a tree, each once: they may be shared."""
    trees = Trees()
    root = _Place(content, ())
    places, seen = [root], {id(content)}
    entries = 0
    for place in places:
        entries += len(mapping_of(place.content) or {})
        if entries > _MOST_ENTRIES:
            raise CheckpointError(
                "The file's objects share their parts so often that they cannot be searched for "
                "weights; it was made to do harm."
            )
        place.tensors = _tensors(place.content, trees)
        if len(place.path) == _MAX_DEPTH or is_module(place.content):
            continue
        for name, value in _inside(place.content).items():
            if (
                isinstance(value, (dict, list, tuple, Record))
                and id(value) not in seen
                and _may_hold(name)
            ):
                seen.add(id(value))
                inner = _Place(value, (*place.path, name))
                place.inside[name] = inner
                places.append(inner)
    for place in reversed(places):
        place.most = max(len(place.tensors), _most_inside(place))
    return root


def _inside(content: Any) -> Mapping[Any, Any]:
    """What a place holds by name; of a short list or tuple, by number."""
    if isinstance(content, (list, tuple)):
        return {str(at): one for at, one in enumerate(content)} if len(content) <= _FEW else {}
    return mapping_of(content) or {}


def _most_inside(place: _Place) -> int:
    return max((inner.most for inner in place.inside.values()), default=0)


def _may_hold(name: Any) -> bool:
    return isinstance(name, str) and not any(word in name.lower() for word in _NO_WEIGHTS)


def _tensors(content: Any, trees: Trees) -> dict[str, Tensor]:
    if isinstance(content, Record) and is_module(content):
        return trees.tensors(content)
    return {
        str(key): value
        for key, value in (mapping_of(content) or {}).items()
        if isinstance(value, Tensor)
    }


def _next_name(place: _Place) -> str | None:
    best = _most_inside(place)
    if best == 0:
        return None
    for name in _WRAPPERS:
        if name in place.inside and 2 * place.inside[name].most >= best:
            return name
    return max(place.inside, key=lambda name: place.inside[name].most)


_SAVE = "Save the weights with torch.save(model.state_dict(), 'weights.pth')."


def _why_none(content: Any, path: tuple[str, ...]) -> str:
    where = f" under {quoted('.'.join(path))}" if path else ""
    if isinstance(content, Tensor):
        return f"The file holds a single tensor{where}, not a network's weights. {_SAVE}"
    if isinstance(content, Mapping):
        if {"param_shapes", "ds_version"} <= content.keys():
            return (
                "The file is of a DeepSpeed training whose weights lie in parts beside it (ZeRO-3)."
                " Join them first: python zero_to_fp32.py FOLDER OUTPUT, which DeepSpeed puts "
                "there."
            )
        keys = ", ".join(quoted(str(key), 40) for key in list(content)[:5]) or "nothing"
        return f"The file holds no network's weights{where}; it holds {keys}. {_SAVE}"
    if isinstance(content, (Record, Named)):
        return (
            f"The file holds {shortened(repr(content))}{where}, not a network's weights. Nothing "
            f"of it was run. {_SAVE}"
        )
    kind = type(content).__name__
    what = "nothing" if content is None else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    return f"The file holds {what}{where}, not a network's weights. {_SAVE}"


def _strip_prefixes(weights: Weights) -> None:
    """Remove prefixes that most names share, again and again; other names are set aside."""
    if any("_orig_mod." in key for key in weights.tensors):
        weights.tensors = {
            key.replace("_orig_mod.", ""): value for key, value in weights.tensors.items()
        }
        weights.notes.append("The prefix '_orig_mod.' of torch.compile was removed.")
    for _ in range(_MAX_DEPTH):
        prefix = next((p for p in _PREFIXES if _shared(p, weights.tensors)), None)
        if prefix is None:
            return
        weights.notes.append(f"The prefix {prefix!r} was removed.")
        weights.tensors = without_prefix(weights.tensors, prefix)


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under names without the prefix; other names are kept, and come first."""
    inside = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
    outside = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
    return {**outside, **inside}


def shared_prefix(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the first part that most names have in common, with its dot; None if there is none."""
    firsts = Counter(name.partition(".")[0] + "." for name in tensors if "." in name)
    prefix = firsts.most_common(1)[0][0] if firsts else ""
    return prefix if prefix and _shared(prefix, tensors) else None


def _shared(prefix: str, tensors: Mapping[str, Tensor]) -> bool:
    return 2 * sum(key.startswith(prefix) for key in tensors) > len(tensors)
