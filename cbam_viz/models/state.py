"""From what an author saved to a plain dictionary of tensors: wrappers and prefixes removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from cbam_viz._text import quoted
from cbam_viz.errors import CheckpointError

_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
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

_AVERAGED = frozenset({"state_dict_ema", "model_ema", "ema_state_dict", "ema"})
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


@dataclass
class Weights:
    """Tensors by name, with what was done to get them."""

    tensors: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    """The file's names to ours, where a layout was translated (prefixes aside)."""
    reshaped: list[str] = field(default_factory=list)


def find_weights(content: Any, *, prefixes: bool = True) -> Weights:
    """Return the weights in what an author saved, with the names' common prefixes removed.

    Raises
    ------
    CheckpointError
        There is no dictionary of named tensors in it.
    """
    path: list[str] = []
    while not _is_weights(content):
        name = _next_wrapper(content) if len(path) < _MAX_DEPTH else None
        if name is None:
            raise CheckpointError(_why_none(content, path))
        path.append(name)
        content = content[name]
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    weights = Weights(tensors)
    if path:
        weights.notes.append(f"The weights were taken from {quoted('.'.join(path))} in the file.")
    if _AVERAGED & set(path):
        weights.notes.append("These are the averaged (EMA) weights that the file holds.")
    if prefixes:
        _strip_prefixes(weights)
    return weights


def _tensor_count(value: Any) -> int:
    return sum(isinstance(item, Tensor) for item in value.values()) if _is_map(value) else 0


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_weights(content: Any) -> bool:
    """Named tensors, and more of them than in any part that could be a wrapper."""
    own = _tensor_count(content)
    return own > 0 and own >= max(map(_largest, content.values()), default=0)


def _largest(value: Any) -> int:
    """Count the tensors of the dictionary that has most, among `value` and all inside it."""
    best, waiting, seen = 0, [value], set()
    while waiting:
        item = waiting.pop()
        if _is_map(item) and id(item) not in seen:  # a pickle can make a dictionary hold itself
            seen.add(id(item))
            best = max(best, _tensor_count(item))
            waiting.extend(item.values())
    return best


def _next_wrapper(content: Any) -> str | None:
    if not _is_map(content):
        return None
    counts = {
        key: _largest(value)
        for key, value in content.items()
        if isinstance(key, str) and not any(word in key.lower() for word in _NO_WEIGHTS)
    }
    best = max(counts.values(), default=0)
    if best == 0:
        return None
    for name in _WRAPPERS:
        if 2 * counts.get(name, 0) >= best:
            return name
    return max(counts, key=lambda key: counts[key])


def _why_none(content: Any, path: list[str]) -> str:
    where = f" under {quoted('.'.join(path))}" if path else ""
    if isinstance(content, Tensor):
        return f"The file holds a single tensor{where}, not a network's weights."
    if _is_map(content):
        keys = ", ".join(quoted(str(key), 40) for key in list(content)[:5]) or "nothing"
        return (
            f"The file holds no network's weights{where}; it holds {keys}. Save them with "
            "torch.save(model.state_dict(), 'weights.pth')."
        )
    return f"The file holds a {type(content).__name__}{where}, not a network's weights."


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
