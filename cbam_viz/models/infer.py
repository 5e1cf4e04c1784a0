"""What network a set of tensors belongs to, from their names and shapes."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import timm
import torch
from torch import Tensor

from cbam_viz.errors import ModelError
from cbam_viz.models.build import build_model
from cbam_viz.models.families import squeeze_excite_classes

Shapes = Mapping[str, tuple[int, ...]]

_INDEX = Path(__file__).with_name("architectures.json")
"""Fingerprints of timm's networks; `python -m cbam_viz.models.index` writes it."""
_INSERTED = ".cbam"
_MOST_TENSORS = 10_000
"""No network of timm has as many; its deepest has some 3,000."""
_MOST_CHANNELS, _MOST_TRIED = 64, 6
"""Channels of an input that is no photo, and weights tried as the one through which it enters."""


@dataclass(frozen=True)
class AttentionShape:
    """One CBAM layer as its tensors describe it."""

    kind: Literal["cbam", "lcbam"]
    channels: int
    reduced: int
    """Channels between the two layers of the MLP."""
    kernel: int
    mlp_bias: bool


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def attention_layers(shapes: Shapes) -> dict[str, AttentionShape]:
    """Return the CBAM layers in timm's layout by the dotted name of their module."""
    found = {}
    for name, first in shapes.items():
        module, end, rest = name.rpartition(".channel.fc1.weight")
        spatial = shapes.get(f"{module}.spatial.conv.conv.weight")
        if not end or rest or spatial is None or len(first) != 4 or len(spatial) != 4:
            continue
        found[module] = AttentionShape(
            kind="cbam" if spatial[1] == 2 else "lcbam",
            channels=first[1],
            reduced=first[0],
            kernel=spatial[2],
            mlp_bias=f"{module}.channel.fc1.bias" in shapes,
        )
    return found


def inserted_at(layers: Mapping[str, AttentionShape]) -> list[str]:
    """Return the modules after which `insert_cbam` had put these layers."""
    return [name.removesuffix(_INSERTED) for name in layers if name.endswith(_INSERTED)]


def classifier_size(architecture: str, shapes: Shapes) -> int | None:
    """Return the number of classes that the classifier's tensor has; 0 if the file has none.

    None if timm does not say where the classifier of `architecture` is.
    """
    for name in classifier_names(architecture):
        weight = shapes.get(f"{name}.weight")
        if weight:
            return weight[0]
    return 0 if classifier_names(architecture) else None


def classifier_names(architecture: str) -> tuple[str, ...]:
    """Return the dotted names of an architecture's classifier modules."""
    config = timm.models.get_pretrained_cfg(architecture)
    names = getattr(config, "classifier", None) or ()
    return (names,) if isinstance(names, str) else tuple(names)


@functools.lru_cache(maxsize=64)
def skeleton(architecture: str, *, bare: bool) -> Shapes | None:
    """Return the tensors of a plain network without its classifier; None if timm cannot build it.

    `bare` leaves squeeze-and-excitation out too. Nothing is allocated.
    """
    try:
        with torch.device("meta"):
            model = build_model(architecture, attention=None)
    except (ModelError, RuntimeError, NotImplementedError):
        return None
    left_out = [f"{name}." for name in classifier_names(architecture)]
    if bare:
        left_out += [
            f"{name}."
            for name, module in model.named_modules()
            if isinstance(module, squeeze_excite_classes())
        ]
    return MappingProxyType(
        {
            name: tuple(tensor.shape)
            for name, tensor in model.state_dict().items()
            if not name.startswith(tuple(left_out)) and not is_counter(name)
        }
    )


def fingerprint(body: Shapes) -> str:
    """Return a short digest of names and shapes; equal for equal networks only."""
    text = "\n".join(f"{name} {list(shape)}" for name, shape in sorted(body.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _index() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_INDEX.read_text())
    return found


def infer_architecture(shapes: Shapes) -> tuple[str, ...]:
    """Return the timm networks that these tensors fit exactly, the plainest name first.

    CBAM layers are disregarded; a classifier may have any number of classes, and the input any
    number of channels.
    """
    found = _of_colours(shapes)
    if not found:
        for name in _first_convolutions(shapes):
            out, _, *kernel = shapes[name]
            found = _of_colours({**shapes, name: (out, 3, *kernel)})
            found = tuple(one for one in found if name in first_convolution_names(one))
            if found:
                break
    return found


def first_convolution_names(architecture: str) -> tuple[str, ...]:
    """Return the names of the weights through which a picture enters an architecture."""
    names = getattr(timm.models.get_pretrained_cfg(architecture), "first_conv", None) or ()
    return tuple(f"{name}.weight" for name in ((names,) if isinstance(names, str) else names))


def channels_taken(architecture: str, shapes: Shapes) -> int | None:
    """Return how many channels these tensors of an architecture take; None if not told."""
    sizes = [shapes.get(name, ()) for name in first_convolution_names(architecture)]
    return next((size[1] for size in sizes if len(size) == 4), None)


def _first_convolutions(shapes: Shapes) -> list[str]:
    """Weights that may be the first: outermost, and of another number of channels than colours."""
    names = [name for name, size in shapes.items() if len(size) == 4 and size[1] != 3]
    few = [name for name in names if shapes[name][1] <= _MOST_CHANNELS]
    return sorted(few, key=lambda name: (name.count("."), name))[:_MOST_TRIED]


def _of_colours(shapes: Shapes) -> tuple[str, ...]:
    """The same for a network that takes three channels."""
    own = attention_layers(shapes)
    body = {
        name: shape
        for name, shape in shapes.items()
        if not is_counter(name) and own.keys().isdisjoint(_parents(name))
    }
    if len(body) > _MOST_TENSORS:
        return ()
    kind = "bare" if own else "plain"
    found = _look_up(body, kind)
    if not found:  # the file may have tensors beside the network's, such as a loss's
        tops = {name.partition(".")[0] for name in body}
        for parts in _index()["parts"]:
            if tops.issuperset(parts):
                kept = {n: shape for n, shape in body.items() if n.partition(".")[0] in parts}
                found |= _look_up(kept, kind)
    return tuple(sorted(found, key=_plainness))


def _parents(name: str) -> list[str]:
    """Return the modules that a tensor is in, the innermost ones, where a CBAM layer would be."""
    parts = name.split(".")[-6:]
    start = len(name) - len(".".join(parts))
    return [name[:start] + ".".join(parts[:end]) for end in range(1, len(parts))]


def _look_up(body: Shapes, kind: str) -> set[str]:
    """Return the networks whose fingerprint this is, whichever part is the classifier."""
    known: dict[str, list[str]] = _index()[kind]
    found = set()
    for classifier in _index()["classifiers"]:
        ends = tuple(f"{name}." for name in classifier)
        bones = {name: shape for name, shape in body.items() if not name.startswith(ends)}
        for name in known.get(fingerprint(bones), []):
            if list(classifier_names(name)) == classifier:
                found.add(name)
    return found


def _plainness(name: str) -> tuple[bool, int, str]:
    return name.startswith(("tf_", "legacy_", "test_")), len(name), name


def is_counter(name: str) -> bool:
    """Whether a tensor only counts batches; networks do not differ by those."""
    return name.endswith("num_batches_tracked")
