"""Fitting tensors to a network: attention layers of the right size, and what goes where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from timm.layers import EcaModule
from timm.layers.cbam import CbamModule, LightCbamModule
from torch import Tensor, nn

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.families import squeeze_excite_classes
from cbam_viz.models.infer import AttentionShape, is_counter
from cbam_viz.models.state import Weights


@dataclass(frozen=True)
class Fit:
    """Which tensor of a file goes where in a network. All names are the network's."""

    tensors: Mapping[str, Tensor]
    """Ready for `load_state_dict`."""
    matched: tuple[str, ...]
    reshaped: tuple[str, ...]
    missing: tuple[str, ...]
    """Outside attention; the network would compute something else."""
    missing_attention: tuple[str, ...]
    wrong: tuple[str, ...]
    """Of another shape, both shapes in words."""
    unexpected: tuple[str, ...]
    foreign: tuple[str, ...]
    """Unexpected ones in parts that the network has: the file is of another network."""
    at_random: int
    """Numbers in the tensors of attention that are missing."""
    given: int
    """Numbers in those that are not."""
    has_attention: bool
    """Whether the network has any gates: CBAM, or its family's own such as SE."""


def fit_attention(model: nn.Module, layers: Mapping[str, AttentionShape]) -> None:
    """Replace attention layers of `model` whose sizes differ from those of the file."""
    for name, shape in layers.items():
        try:
            present = model.get_submodule(name)
        except AttributeError:
            continue
        if not isinstance(present, (CbamModule, LightCbamModule)) or _has_shape(present, shape):
            continue
        if present.channel.fc1.in_channels != shape.channels:
            continue  # of another network, as `fit_tensors` will say
        if shape.kernel % 2 == 0:
            raise CheckpointError(
                f"The spatial convolution of {shortened(name)} is {shape.kernel} x "
                f"{shape.kernel}; with an even kernel timm's CBAM cannot run. Show the "
                "network through its own Python code: --model module:factory."
            )
        cls = CbamModule if shape.kind == "cbam" else LightCbamModule
        if 0 in (shape.reduced, shape.kernel):
            raise CheckpointError(f"The attention layer {shortened(name)} has tensors of no size.")
        layer = cls(
            shape.channels,
            rd_channels=shape.reduced,
            spatial_kernel_size=shape.kernel,
            act_layer=type(present.channel.act),
            mlp_bias=shape.mlp_bias,
            device=present.channel.fc1.weight.device,
            dtype=present.channel.fc1.weight.dtype,
        )
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer)


def _has_shape(layer: CbamModule | LightCbamModule, shape: AttentionShape) -> bool:
    first, spatial = layer.channel.fc1, layer.spatial.conv.conv
    return (
        first.in_channels == shape.channels
        and first.out_channels == shape.reduced
        and (first.bias is not None) == shape.mlp_bias
        and spatial.kernel_size[0] == shape.kernel
        and spatial.in_channels == (2 if shape.kind == "cbam" else 1)
    )


def fit_tensors(model: nn.Module, weights: Weights) -> Fit:
    """Compare names and shapes; nothing is copied and `model` is not changed."""
    wanted = model.state_dict()
    given = weights.tensors
    attention = tuple(
        f"{name}."
        for name, module in model.named_modules()
        if isinstance(module, (CbamModule, LightCbamModule))
    )
    gates = squeeze_excite_classes()
    ready, reshaped, wrong = {}, [], []
    for name in wanted.keys() & given.keys():
        if wanted[name].shape == given[name].shape:
            ready[name] = given[name]
        elif _same_values(wanted[name], given[name]):
            ready[name] = given[name].reshape(wanted[name].shape)
            reshaped.append(name)
        else:
            shapes = f"{list(given[name].shape)} instead of {list(wanted[name].shape)}"
            wrong.append(f"{shortened(name, 60)} ({shapes})")
    absent = [name for name in wanted if name not in given and not is_counter(name)]
    extra = [name for name in given if name not in wanted and not is_counter(name)]
    tops = {name.partition(".")[0] for name in wanted}
    missing_attention = tuple(name for name in absent if attention and name.startswith(attention))
    return Fit(
        tensors=ready,
        matched=tuple(name for name in wanted if name in ready),
        reshaped=tuple(sorted(reshaped)),
        missing=tuple(name for name in absent if not (attention and name.startswith(attention))),
        missing_attention=missing_attention,
        at_random=sum(wanted[name].numel() for name in missing_attention),
        given=sum(tensor.numel() for tensor in ready.values()),
        wrong=tuple(sorted(wrong)),
        unexpected=tuple(extra),
        foreign=tuple(name for name in extra if name.partition(".")[0] in tops),
        has_attention=bool(attention)
        or any(isinstance(module, (*gates, EcaModule)) for module in model.modules()),
    )


def _same_values(wanted: Tensor, given: Tensor) -> bool:
    """Whether the shapes differ by dimensions of size 1 only."""
    return [side for side in wanted.shape if side != 1] == [
        side for side in given.shape if side != 1
    ]


def check_values(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Refuse values that a network's weights cannot have.

    Raises:
        CheckpointError: integers, truth values or complex numbers where the network has fractions;
            or numbers that are not finite.
    """
    wanted = model.state_dict()
    fractions = [n for n, value in wanted.items() if n in tensors and value.is_floating_point()]
    for name in fractions:
        if not tensors[name].is_floating_point():
            raise CheckpointError(
                f"The checkpoint holds {shortened(name)} as {_name_of(tensors[name].dtype)}, not "
                "as floating-point numbers: its weights are quantised, or of another program. Save "
                "the ordinary weights."
            )
    buffers = {name for name, _ in model.named_buffers()}
    bad = [
        name
        for name in fractions
        if (tensors[name].isnan() if name in buffers else ~_widened(tensors[name]).isfinite()).any()
    ]
    if bad:
        raise CheckpointError(
            f"The checkpoint holds {len(bad)} tensor{'s' if len(bad) > 1 else ''} with values that "
            f"are not finite, such as {shortened(bad[0])}: the training has diverged, and the "
            "attention would be noise. Take an earlier checkpoint."
        )


def type_notes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Say in sentences what became of number types other than the network's own."""
    kinds = {
        tensor.dtype
        for tensor in tensors.values()
        if tensor.is_floating_point() and tensor.dtype != torch.float32
    }
    wide = torch.float64 in kinds
    narrow = ", ".join(sorted(_name_of(kind) for kind in kinds - {torch.float64}))
    notes = []
    if narrow:
        notes.append(f"Weights stored as {narrow} were widened to float32, which changes no value.")
    if wide:
        notes.append("Weights stored as float64 were rounded to float32.")
    return notes


def _widened(tensor: Tensor) -> Tensor:
    """8-bit floats cannot be asked whether they are finite."""
    return tensor.float() if tensor.element_size() == 1 else tensor


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
