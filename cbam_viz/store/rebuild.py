"""Stored arrays back into the classes they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import (
    Attention,
    Cells,
    ChannelBranches,
    Composition,
    FoundBy,
    LayerAttention,
    SpatialDescriptors,
    Unsupported,
)

if TYPE_CHECKING:
    from torch import Tensor

    Arrays = Mapping[str, npt.NDArray[Any]]

GATES: dict[str, Callable[[LayerAttention], Tensor | None]] = {
    "channel": lambda layer: layer.channel,
    "spatial": lambda layer: layer.spatial,
    "branch_average": lambda layer: layer.branches.average if layer.branches else None,
    "branch_maximum": lambda layer: layer.branches.maximum if layer.branches else None,
    "descriptor_mean": lambda layer: layer.descriptors.mean if layer.descriptors else None,
    "descriptor_maximum": lambda layer: layer.descriptors.maximum if layer.descriptors else None,
}
"""What is stored of a layer: the last part of the key, and where it is found."""

_DIMENSIONS = {
    "channel": 2,
    "spatial": 3,
    "branch_average": 2,
    "branch_maximum": 2,
    "descriptor_mean": 3,
    "descriptor_maximum": 3,
}


def rebuild_attention(
    layers: Mapping[str, Mapping[str, Any]], arrays: Arrays, document: Mapping[str, Any]
) -> Attention:
    """Make the frozen results again; KeyError, TypeError or ValueError if they do not fit."""
    height, width = (int(side) for side in document["input_size"])
    output = arrays.get("output")
    return Attention(
        layers={name: _layer(name, about, arrays) for name, about in layers.items()},
        output=None if output is None else _tensor(output),
        input_size=(height, width),
        unsupported=tuple(
            Unsupported(str(item["module"]), str(item["reason"]))
            for item in document["unsupported"]
        ),
        not_called=tuple(str(name) for name in document["not_called"]),
    )


def _layer(name: str, about: Mapping[str, Any], arrays: Arrays) -> LayerAttention:
    parts = {part: _part(arrays, about["key"], part) for part in GATES}
    if parts["channel"] is None and parts["spatial"] is None:
        raise ValueError(f"no gates of {name}")
    average, maximum = parts["branch_average"], parts["branch_maximum"]
    mean, highest = parts["descriptor_mean"], parts["descriptor_maximum"]
    cells = about["cells"]
    return LayerAttention(
        name=name,
        module=str(about["module"]),
        call=int(about["call"]),
        stage=str(about["stage"]),
        channel=parts["channel"],
        spatial=parts["spatial"],
        cells=None if cells is None else Cells(**cells),
        composition=_one_of(about["composition"], get_args(Composition)),
        found_by=_one_of(about["found_by"], get_args(FoundBy)),
        verified=bool(about["verified"]),
        dtype=_dtype(about["dtype"]),
        block=None if about.get("block") is None else str(about["block"]),
        branches=None if average is None or maximum is None else ChannelBranches(average, maximum),
        descriptors=None if mean is None or highest is None else SpatialDescriptors(mean, highest),
    )


def _part(arrays: Arrays, key: str, part: str) -> Tensor | None:
    array = arrays.get(f"{key}/{part}")
    if array is None:
        return None
    if array.ndim != _DIMENSIONS[part] or array.dtype != np.float32:
        raise ValueError(f"{key}/{part} has shape {array.shape} and type {array.dtype}")
    return _tensor(array)


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    import torch

    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def _dtype(text: str) -> Any:
    import torch

    dtype = getattr(torch, str(text).removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"no dtype {text!r}")  # noqa: TRY004
    return dtype


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, allowed))}")
    return value
