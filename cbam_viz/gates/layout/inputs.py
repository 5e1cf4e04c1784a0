"""What a network is given: where the pictures are in its arguments, tensors or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .axes import BATCH, CHANNEL, COLUMN, ROW, Layout, image_layout

_COLOURS = (1, 3, 4)


def picture_axes(shape: Sequence[int]) -> tuple[str, ...] | None:
    """What the axes of a picture's array are: (H, W), (H, W, C) or (C, H, W), or a batch of these.

    None if it has no axis of 1, 3 or 4 colours, or is no array of pictures at all.
    """
    if len(shape) == 2:
        return (ROW, COLUMN)
    batch = (BATCH,) if len(shape) == 4 else ()
    if len(shape) - len(batch) != 3:
        return None
    if shape[-1] in _COLOURS:
        return (*batch, ROW, COLUMN, CHANNEL)
    return (*batch, CHANNEL, ROW, COLUMN) if shape[-3] in _COLOURS else None


def picture_size(value: Any) -> tuple[int, int] | None:
    """Height and width of an array or a picture such as Pillow's; None if it is neither."""
    if isinstance(value, np.ndarray):
        axes = picture_axes(value.shape)
        if axes is None or value.dtype.kind not in "uif":
            return None
        return int(value.shape[axes.index(ROW)]), int(value.shape[axes.index(COLUMN)])
    sides = getattr(value, "height", None), getattr(value, "width", None)
    return sides if isinstance(sides[0], int) and isinstance(sides[1], int) else None  # type: ignore[return-value]


def picture_layout(shape: Sequence[int], size: tuple[int, int] | None) -> Layout | None:
    """The layout of a tensor that holds a picture, of height and width `size` where they are known.

    None if it does not look like one.
    """
    axes = picture_axes(shape)
    if axes is None or (size is None and len(shape) == 2):
        return None
    found = int(shape[axes.index(ROW)]), int(shape[axes.index(COLUMN)])
    if found != size if size is not None else min(found) < 2:
        return None
    sizes = dict(zip(axes, shape, strict=True))
    usual = (BATCH, CHANNEL, ROW, COLUMN)
    whole = image_layout([int(sizes.get(axis, 1)) for axis in usual], placed=True)
    return tuple(whole[usual.index(axis)] for axis in axes)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    else:
        for part in parts_of(value):
            yield from tensors_in(part)


def parts_of(value: Any) -> Iterator[Any]:
    """What a tuple, list, mapping or dataclass holds; nothing for anything else."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (tuple, list)):
        yield from value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name) for field in dataclasses.fields(value))


def images_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The network's input: the first (B, C, H, W) tensor among its arguments.

    Where there is none, the first list of (C, H, W) tensors, as detectors take it.
    """
    for tensor in tensors_in((args, kwargs)):
        if tensor.is_nested and tensor.ndim == 4:
            return list(tensor.unbind())
        if tensor.ndim == 4:
            return [tensor]
    lists = (found for one in (*args, *kwargs.values()) for found in _lists_of_images(one))
    return next(lists, [])


def _lists_of_images(value: Any) -> Iterator[list[Tensor]]:
    """Lists of images; tuples of them, and lists of dicts, if they look like images."""
    if isinstance(value, (list, tuple)):
        rows = [list(one.values()) if isinstance(one, Mapping) else [one] for one in value]
        for images in zip(*rows, strict=False):
            if all(isinstance(one, Tensor) and one.ndim == 3 for one in images):
                plain = isinstance(value, list) and isinstance(value[0], Tensor)
                if plain or all(one.shape[0] in (1, 3, 4) for one in images):
                    yield list(images)
    for part in parts_of(value):
        if not isinstance(part, Tensor):
            yield from _lists_of_images(part)


def input_size_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int]:
    """Height and width of the network's input; (0, 0) if no image is among its arguments."""
    images = images_in(args, kwargs)
    pictured = None if images else pictured_size(args, kwargs)
    if pictured is not None:
        return pictured
    images = images or [
        tensor
        for tensor in tensors_in((args, kwargs))
        if tensor.ndim >= 2 and tensor.is_floating_point()
    ]
    return (int(images[0].shape[-2]), int(images[0].shape[-1])) if images else (0, 0)


def pictured_size(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width of the first picture that is no tensor: an array, or one of Pillow's."""
    sizes = (picture_size(one) for one in _leaves((args, kwargs)) if not isinstance(one, Tensor))
    return next((size for size in sizes if size is not None), None)


def _leaves(value: Any) -> Iterator[Any]:
    """What is in nested tuples, lists, mappings and dataclasses."""
    parts = [] if isinstance(value, Tensor) else list(parts_of(value))
    if not parts:
        yield value
    for part in parts:
        yield from _leaves(part)
