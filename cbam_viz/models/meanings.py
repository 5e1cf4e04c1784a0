"""What the names mean that weights and numbers need: the only names of a file that mean anything.

A meaning takes what a file would call something with, and its state, and returns the value, or
`NOTHING` where they are not what it takes: then the object stays a record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from cbam_viz.errors import CheckpointError
from cbam_viz.inert.nodes import HOW_TO_CONVERT, damaged
from cbam_viz.models import arrays
from cbam_viz.models.records import Record
from cbam_viz.models.storages import Storages


class _Nothing:
    """The type of `NOTHING`."""


NOTHING: Final = _Nothing()

Meaning: TypeAlias = Callable[[Storages, list[Any], Any], Any]

_MOST_ARGUMENTS = 16
"""Nothing here takes more; a file may share a long list of them a thousand times."""

_ODD_TENSORS = {
    "_rebuild_sparse_tensor": "sparse tensors",
    "_rebuild_qtensor": "quantised tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_wrapper_subclass": "tensors of a class of their own, such as the parts of a "
    "distributed training (DTensor)",
    "_rebuild_meta_tensor_no_storage": "tensors without values (torch's meta device)",
}
"""torch's own functions for tensors that are no plain weights."""

_IMPOSSIBLE = (
    TypeError, ValueError, IndexError, AttributeError, RuntimeError, OverflowError,
)  # fmt: skip
"""What a meaning meets where a file gives it something else than what it takes."""


def has_meaning(name: str, arguments: int) -> bool:
    """Whether a call of `name` with so many arguments may mean something."""
    return name in _MEANINGS and arguments <= _MOST_ARGUMENTS


def meaning_of(name: str, storages: Storages, arguments: list[Any], state: Any) -> Any:
    """Return what calling `name` with these arguments would make, `NOTHING` if that is unknown.

    Raises:
        CheckpointError: the arguments are impossible, or it would make a tensor of a kind that is
            not read.
    """
    meaning = _MEANINGS.get(name)
    if meaning is None or len(arguments) > _MOST_ARGUMENTS:
        refuse_odd(name)
        return NOTHING
    try:
        return meaning(storages, arguments, state)
    except CheckpointError:
        raise
    except _IMPOSSIBLE as error:
        raise damaged(f"{name} with impossible arguments") from error


def refuse_odd(name: str) -> None:
    """Refuse torch's own functions for other kinds of tensors. Raises CheckpointError."""
    module, _, function = name.rpartition(".")
    if module.partition(".")[0] == "torch" and function.startswith("_rebuild_"):
        kind = _ODD_TENSORS.get(function, f"tensors of a kind that is not read ({name})")
        raise CheckpointError(
            f"The file holds {kind}; only plain weights can be read. Save the network's whole, "
            "ordinary floating-point weights."
        )


def _tensor(storages: Storages, arguments: list[Any], _state: Any) -> Any:
    """`_rebuild_tensor(storage, offset, size, stride)`; gradients and hooks follow."""
    storage, offset, size, stride, *rest = arguments
    _refuse_views(rest[2:])
    if isinstance(storage, Record) and storage.name == "torch.storage._load_from_bytes":
        raise CheckpointError(
            "The file was written by pickle.dump, not by torch.save: each tensor in it is a file "
            f"of its own, which is not read. {HOW_TO_CONVERT}"
        )
    return storages.tensor(storage, offset, size, stride)


def _tensor_of_type(storages: Storages, arguments: list[Any], _state: Any) -> Any:
    """`_rebuild_tensor_v3`: the storage is of bytes, the type follows the hooks."""
    storage, offset, size, stride, _, _, dtype, *rest = arguments
    _refuse_views(rest)
    return storages.tensor(storage, offset, size, stride, _dtype(dtype))


def _refuse_views(metadata: list[Any]) -> None:
    if metadata and metadata[0] is not None:
        raise CheckpointError(
            "The file holds tensors that are conjugated or negated when they are read; only plain "
            "weights can be read. Save tensor.resolve_conj().resolve_neg()."
        )


def _dtype(named: Any) -> torch.dtype:
    dtype = getattr(torch, named.name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise TypeError
    return dtype


def _first(_storages: Storages, arguments: list[Any], _state: Any) -> Any:
    """A parameter, or a tensor that another device had: the tensor in it."""
    return arguments[0] if arguments and isinstance(arguments[0], torch.Tensor) else NOTHING


def _subclass(storages: Storages, arguments: list[Any], _state: Any) -> Any:
    """`_rebuild_from_type_v2(function, class, arguments, state)`: the plain tensor."""
    function, _, inner, *_ = arguments
    if not isinstance(inner, tuple) or _MEANINGS.get(function.name) is _subclass:
        return NOTHING
    return meaning_of(function.name, storages, list(inner[: _MOST_ARGUMENTS + 1]), None)


def _size(_storages: Storages, arguments: list[Any], _state: Any) -> Any:
    return arguments[0] if arguments and isinstance(arguments[0], tuple) else NOTHING


def _encode(storages: Storages, arguments: list[Any], _state: Any) -> Any:
    """Protocols below 3 have no bytes: they write the text of the same numbers."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        return NOTHING
    storages.budget.spend(len(arguments[0]))
    return arguments[0].encode("latin1")


def _no_bytes(_storages: Storages, arguments: list[Any], _state: Any) -> Any:
    """`bytes()`, as protocols below 3 write none; never bytes of a length that is asked for."""
    return NOTHING if arguments else b""


def _array_type(_storages: Storages, arguments: list[Any], state: Any) -> Any:
    return arrays.number_type(arguments[0] if arguments else None, state) or NOTHING


def _scalar(storages: Storages, arguments: list[Any], _state: Any) -> Any:
    dtype, content = arguments
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
        return NOTHING
    storages.budget.spend(len(content))
    return arrays.scalar(dtype, content)


def _array(storages: Storages, arguments: list[Any], state: Any) -> Any:
    """`_reconstruct(class, shape, code)` and then (version, shape, type, Fortran order, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5:
        return NOTHING
    if isinstance(state[4], list) and isinstance(state[1], tuple) and len(state[1]) == 1:
        return state[4]  # of objects: texts, as pandas has them
    return _numbers(storages, state[4], state[2], state[1], fortran=state[3])


def _array_from_buffer(storages: Storages, arguments: list[Any], _state: Any) -> Any:
    content, dtype, shape, order = arguments
    return _numbers(storages, content, dtype, shape, fortran=order == "F")


def _numbers(storages: Storages, content: Any, dtype: Any, shape: Any, *, fortran: Any) -> Any:
    if not (
        isinstance(content, bytes) and isinstance(dtype, np.dtype) and isinstance(shape, tuple)
    ):
        return NOTHING
    if dtype.kind == "U":
        storages.budget.spend(len(content))
        row = arrays.texts(dtype, shape, content)
        return NOTHING if row is None else row
    made = arrays.tensor(dtype, shape, content, storages.budget, fortran=bool(fortran))
    return NOTHING if made is None else made


_MEANINGS: dict[str, Meaning] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_xla_tensor": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.Size": _size,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "numpy.dtype": _array_type,
    **{
        f"numpy.{core}.{name}": meaning
        for core in ("core", "_core")
        for name, meaning in {
            "multiarray.scalar": _scalar,
            "multiarray._reconstruct": _array,
            "numeric._frombuffer": _array_from_buffer,
        }.items()
    },
}
