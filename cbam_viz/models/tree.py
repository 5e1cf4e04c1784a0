"""The tensors of a network that was pickled whole, from the records of its modules.

`torch.save(model)` writes the modules themselves. Their classes are code, which is neither there
nor wanted; their dictionaries of parameters, buffers and children are all that a state dict is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from cbam_viz._text import quoted
from cbam_viz.errors import CheckpointError
from cbam_viz.models.records import Record

_MOST_STEPS = 400_000
_PARTS = ("_parameters", "_buffers", "_modules")
_DEEPEST = 100
_LONGEST = 300


def is_module(value: Any) -> bool:
    """Whether a record is of a `torch.nn.Module`, of whatever class."""
    return isinstance(value, Record) and all(
        isinstance(value.attributes.get(name), dict) for name in ("_parameters", "_modules")
    )


class Trees:
    """Reads module trees of one file; all of them together may take so many steps and no more.

    A module may be its own child, or be shared by two parents at each of fifty levels.
    """

    def __init__(self) -> None:
        self._left = _MOST_STEPS

    def tensors(self, module: Record) -> dict[str, Tensor]:
        """Return what the module's `state_dict()` was, in its order.

        Buffers that the module does not save are left out, as there. Raises CheckpointError for a
        tree that is too deep or too large.
        """
        found: dict[str, Tensor] = {}
        waiting: list[tuple[str, Record]] = [("", module)]
        while waiting:
            prefix, module = waiting.pop()
            attributes = module.attributes
            self._step(sum(len(_part(attributes, name)) for name in _PARTS))
            if prefix.count(".") > _DEEPEST or len(prefix) > _LONGEST:
                raise _absurd(prefix)
            for name, tensor in _own_tensors(attributes):
                found[prefix + name] = tensor
            children = [
                (f"{prefix}{name}.", child)
                for name, child in _part(attributes, "_modules").items()
                if isinstance(name, str) and is_module(child)
            ]
            waiting += reversed(children)
        return found

    def _step(self, parts: int) -> None:
        self._left -= 1 + parts
        if self._left < 0:
            raise CheckpointError(
                f"The file's networks have more than {_MOST_STEPS:,} parts; not opened."
            )


def _own_tensors(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    hidden = attributes.get("_non_persistent_buffers_set")
    left_out = hidden if isinstance(hidden, (set, frozenset)) else frozenset()
    for name, value in _part(attributes, "_parameters").items():
        if isinstance(name, str) and isinstance(value, Tensor):
            yield name, value
    for name, value in _part(attributes, "_buffers").items():
        if isinstance(name, str) and isinstance(value, Tensor) and name not in left_out:
            yield name, value


def _part(attributes: Mapping[str, Any], name: str) -> dict[Any, Any]:
    part = attributes.get(name)
    return part if isinstance(part, dict) else {}


def _absurd(prefix: str) -> CheckpointError:
    return CheckpointError(
        f"The file's network is nested too deep ({quoted(prefix)}): it contains itself, or was "
        "made to do harm."
    )
