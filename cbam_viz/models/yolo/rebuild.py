"""A network of modules from what a file says of them: no constructor and no other code is called.

`torch.save(model)` keeps each module's class and its dictionary of attributes. Of an allowed class
an empty object is made, and what of the attributes is plain data or a module is put into it. The
network's description (its YAML), from which ultralytics would build it, is not read: parts of it
are evaluated as Python there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from cbam_viz._text import few, quoted
from cbam_viz.errors import CheckpointError
from cbam_viz.models.records import Record
from cbam_viz.models.tree import is_module
from cbam_viz.models.yolo.classes import attributes_of, class_named, is_network_class

MAX_MODULES = 20_000
"""Modules of one network, each counted as often as it stands in it; YOLOv8x has some 600."""
MAX_DEPTH = 60
MAX_NUMBER = 100_000
"""The greatest number that an attribute may have; channels and class counts are far below it."""
_MOST_VALUES = 5_000
"""Entries of one attribute: YOLO's `save` lists some ten layers, `names` a class each."""
_DEEPEST = 4
_LONGEST_TEXT = 300
_LONGEST_NAME = 100
_MOST_IN_TENSOR = 1_000_000
"""Numbers of a tensor that is neither weight nor buffer, such as `stride`."""
_NOTHING = object()

_OF_A_LAYER = frozenset({"i", "f"})
"""Which layer of the network it is, and whose output it takes; set on each by ultralytics."""
_UNFUSED = frozenset({"bn", "conv1", "norm"})
"""Parts that ultralytics' layers lose when they are fused."""
_ADDED_LATER: Mapping[type[nn.Module], Mapping[str, Any]] = {
    nn.Upsample: {"recompute_scale_factor": None},
    nn.Conv2d: {"padding_mode": "zeros"},
    nn.GELU: {"approximate": "none"},
}
"""Attributes that torch's classes have got since the first YOLOs were saved."""


class Rebuilder:
    """Makes the modules of one network; with `meta`, of shapes alone."""

    def __init__(self, *, meta: bool = False) -> None:
        self._meta = meta
        self._made: dict[int, nn.Module] = {}
        self._sizes: dict[int, int] = {}
        """Modules under each, as often as they stand there."""
        self._open: set[int] = set()

    def network(self, record: Record) -> nn.Module:
        """Return the network in eval mode, its weights as float32.

        Raises:
            CheckpointError: it has modules of other classes, contains itself, or is absurdly large.
        """
        unknown = _unknown_classes(record)
        if unknown:
            named = few([f"{place}: {name}" for name, place in unknown.items()], limit=150)
            raise CheckpointError(
                f"The network has layers of classes that are not among those of torch and of the "
                f"installed ultralytics that may be rebuilt ({named}), and a file's own code is "
                "never run. Show the code "
                "that makes the network, and the tensors are taken from this file: --model "
                "FILE.py:FACTORY -c best.pt."
            )
        return self._module(record, depth=0)

    def _module(self, record: Record, depth: int) -> nn.Module:
        key = id(record)
        if key in self._open or depth > MAX_DEPTH:
            raise CheckpointError(
                "The file's network contains itself, or is nested too deep; it was made to do harm."
            )
        if key in self._made:
            return self._made[key]
        kind = class_named(record.name)
        if kind is None or (depth and is_network_class(kind)):
            raise CheckpointError(f"The file's network has a {quoted(record.name)} in it.")
        self._open.add(key)
        module = object.__new__(kind)
        nn.Module.__init__(module)  # the empty dictionaries of any module
        module.training = False
        held = record.attributes
        self._put_tensors(module, held)
        size = self._put_children(module, held, depth)
        self._put_attributes(module, kind, held, root=depth == 0)
        if hasattr(kind, "forward_fuse") and not _UNFUSED & module._modules.keys():
            # Saved after its batch norms had been folded in: then this is what its forward was.
            vars(module)["forward"] = module.forward_fuse
        self._open.discard(key)
        self._made[key], self._sizes[key] = module, size
        return module

    def _put_children(self, module: nn.Module, held: Mapping[Any, Any], depth: int) -> int:
        size = 1
        for name, child in _entries(held, "_modules"):
            if child is None:
                module._modules[name] = None
            elif is_module(child):
                module._modules[name] = self._module(child, depth + 1)
                size += self._sizes[id(child)]
            else:
                raise CheckpointError(f"The file's network has no module under {quoted(name)}.")
            if size > MAX_MODULES:
                raise CheckpointError(
                    f"The file's network has more than {MAX_MODULES:,} modules, as they share "
                    "their parts; it was made to do harm."
                )
        return size

    def _put_tensors(self, module: nn.Module, held: Mapping[Any, Any]) -> None:
        for name, value in _entries(held, "_parameters"):
            weight = None if value is None else nn.Parameter(self._tensor(value, name), False)
            module._parameters[name] = weight
        for name, value in _entries(held, "_buffers"):
            module._buffers[name] = None if value is None else self._tensor(value, name)
        hidden = held.get("_non_persistent_buffers_set")
        if isinstance(hidden, (set, frozenset)):
            module._non_persistent_buffers_set = {
                name for name in hidden if isinstance(name, str) and name in module._buffers
            }

    def _tensor(self, value: Any, name: str) -> Tensor:
        if not isinstance(value, Tensor):
            raise CheckpointError(f"The file's network has no tensor under {quoted(name)}.")
        dtype = torch.float32 if value.is_floating_point() else value.dtype
        if self._meta:
            return torch.empty(value.shape, dtype=dtype, device="meta")
        # Its own memory: a file may let many tensors share a few numbers.
        return torch.empty(value.shape, dtype=dtype, device="cpu").copy_(value)

    def _put_attributes(
        self, module: nn.Module, kind: type[nn.Module], held: Mapping[Any, Any], *, root: bool
    ) -> None:
        allowed = attributes_of(cast("Hashable", kind)) | _OF_A_LAYER
        taken = {*module._parameters, *module._buffers, *module._modules}
        for base, added in _ADDED_LATER.items():
            if issubclass(kind, base):
                vars(module).update(added)
        for name, value in held.items():
            if not isinstance(name, str) or name not in allowed or name in taken:
                continue
            if root and name in _AS_WEIGHTS and isinstance(value, Tensor):
                vars(module)[name] = self._tensor(value, name)
                continue
            plain = _plain(value)
            if plain is not _NOTHING and (not root or name in _OF_THE_NETWORK):
                vars(module)[name] = plain
            elif not root:  # left out, another network than the saved one would run
                raise CheckpointError(
                    f"In the file's network, {quoted(name)} of a {kind.__name__} is "
                    f"{quoted(value)}: no plain data, or beyond what a layer can have."
                )


_OF_THE_NETWORK = frozenset({"save", "names", "nc", "stride", "inplace", "task", "kpt_shape"})
"""What a whole network keeps beside its layers; `yaml` and `args` describe how to make another."""

_AS_WEIGHTS = frozenset({"txt_feats", "pe"})
"""What the classes are called, as vectors, in YOLO-World and YOLOE: weights in all but name."""


def _plain(value: Any) -> Any:
    """Plain data, copied; `_NOTHING` for anything else, and for what is absurdly large.

    Tensors beside the weights, such as `stride`, are read as numbers and never of shape alone.
    """
    if not isinstance(value, Tensor):
        return _plain_value(value, [_MOST_VALUES], 0)
    if value.numel() > _MOST_IN_TENSOR:
        return _NOTHING
    return value.float().clone() if value.is_floating_point() else value.clone()


def _plain_value(value: Any, left: list[int], depth: int) -> Any:
    """The same, with how many entries are left."""
    left[0] -= 1
    if left[0] < 0 or depth > _DEEPEST:
        return _NOTHING
    kind = type(value)
    if kind in (list, tuple, dict):
        return _plain_parts(value, left, depth + 1) if len(value) <= left[0] else _NOTHING
    fits = (
        value is None
        or kind in (bool, float)
        or (kind is int and abs(value) <= MAX_NUMBER)
        or (kind is str and len(value) <= _LONGEST_TEXT)
    )
    return value if fits else _NOTHING


def _plain_parts(value: Any, left: list[int], depth: int) -> Any:
    values = value.values() if isinstance(value, dict) else value
    parts = [_plain_value(one, left, depth) for one in values]
    if any(one is _NOTHING for one in parts):
        return _NOTHING
    if not isinstance(value, dict):
        return type(value)(parts)
    keyed = all(type(key) in (int, str) for key in value)
    return dict(zip(value, parts, strict=True)) if keyed else _NOTHING


def _entries(held: Mapping[Any, Any], name: str) -> list[tuple[str, Any]]:
    part = held.get(name)
    entries = list(part.items()) if isinstance(part, dict) else []
    for key, _ in entries:
        if not isinstance(key, str) or not key or "." in key or len(key) > _LONGEST_NAME:
            raise CheckpointError(f"The file's network has a part of the name {quoted(key)}.")
    return entries


def _unknown_classes(record: Record) -> dict[str, str]:
    """Return the classes that are not allowed, with the first place of each."""
    unknown: dict[str, str] = {}
    waiting, seen = deque([("", record)]), {id(record)}
    while waiting:
        place, part = waiting.popleft()
        if class_named(part.name) is None:
            unknown.setdefault(part.name, place or "the network")
        for name, child in _entries(part.attributes, "_modules"):
            if is_module(child) and id(child) not in seen:
                seen.add(id(child))
                waiting.append((f"{place}.{name}" if place else name, child))
    return unknown
