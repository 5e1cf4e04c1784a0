"""What is one photo's of an output for several; detectors give more than a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

_OF_A_PHOTO = {"boxes": 2, "labels": 1, "scores": 1}
"""What torchvision's detectors give for each photo, and its number of dimensions."""


class NoRowsError(Exception):
    """The parts of an output do not have a row for each photo."""


def row_of(output: Any, index: int, count: int) -> Any:
    """Return what a network of `count` photos would have given for photo `index` alone.

    A row of every tensor in tuples, lists and dictionaries; of one dictionary of boxes, labels and
    scores for each photo, a list of that one.

    Raises:
        NoRowsError: a tensor has not as many rows as there are photos, or an object is of an
            unknown kind.
    """
    if isinstance(output, Tensor):
        if output.ndim == 0 or len(output) != count:
            raise NoRowsError
        return output[index : index + 1]
    if isinstance(output, (list, tuple)):
        if len(output) == count and all(map(_is_of_a_photo, output)):
            return [output[index]]
        rows = [row_of(part, index, count) for part in output]
        return output._make(rows) if hasattr(output, "_make") else type(output)(rows)
    if isinstance(output, Mapping):
        return {key: row_of(part, index, count) for key, part in output.items()}
    if output is None or isinstance(output, (bool, int, float, str)):
        return output
    raise NoRowsError


def alike(one: Any, other: Any) -> bool:
    """Whether two outputs for one photo each are built alike.

    Tensors have equal sizes, but for objects of a photo, which may be more or fewer: then a row was
    a photo's, and no table of something else that happened to have as many rows as photos.
    """
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        both = isinstance(one, Tensor) and isinstance(other, Tensor)
        return both and one.shape == other.shape
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if _is_of_a_photo(one) and _is_of_a_photo(other):
            return True
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(alike, one, other))
    return type(one) is type(other)


def _is_of_a_photo(part: Any) -> bool:
    return isinstance(part, Mapping) and all(
        isinstance(part.get(name), Tensor) and part[name].ndim == sides
        for name, sides in _OF_A_PHOTO.items()
    )
