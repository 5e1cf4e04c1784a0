"""Reading the arguments of aten operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from .axes import Layout

Rule = Callable[[Sequence[Any], dict[str, Any], Sequence[Layout], Tensor], Layout]
"""From an operator's arguments, the layouts of its tensor arguments and one output, to a layout."""


def sizes(value: Any, count: int, default: int) -> list[int]:
    """One number for each dimension, however it was given."""
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return [default] * count
    if isinstance(value, int):
        return [value] * count
    return [int(v) for v in value] * (count if len(value) == 1 else 1)


def argument(
    args: Sequence[Any], kwargs: dict[str, Any], place: int, name: str, default: Any
) -> Any:
    """The argument at this place or of this name."""
    return args[place] if len(args) > place else kwargs.get(name, default)
