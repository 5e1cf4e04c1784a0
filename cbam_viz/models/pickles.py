"""What a pickle would do, read from its instructions without executing any of them.

`torch.load(weights_only=True)` is what finally opens a file; this check comes before it. It names
what a refused file asks for, which torch's own message does not do plainly, and it refuses sizes
that torch would try to allocate.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

from cbam_viz.errors import CheckpointError

_HARMLESS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_parameter_with_state",
        "torch._tensor _rebuild_from_type_v2",
        "torch.nn.parameter Parameter",
        "torch.serialization _get_layout",
        "torch Size",
        "torch device",
        "_codecs encode",
        "builtins set",
        "__builtin__ set",
    }
)
"""Functions and classes that plain weights need. torch allows a few more (`bytearray`, `Tensor`);
those can be asked for any amount of memory and no weights need them."""

_DTYPES = frozenset(
    {
        "float64", "float32", "float16", "bfloat16",
        "int64", "int32", "int16", "int8", "uint8", "bool",
    }
)  # fmt: skip

_ODD_TENSORS = {
    "_rebuild_sparse_tensor": "sparse tensors",
    "_rebuild_qtensor": "quantised tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_meta_tensor_no_storage": "tensors without values (torch's meta device)",
    "_rebuild_tensor_v3": "tensors of other number types (8-bit floats, unsigned integers)",
}
"""torch's own functions for tensors that are no plain weights."""

_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_INTEGERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"})
_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})

HOW_TO_CONVERT = (
    "If you trust where it is from, load it once where it was made and save the weights alone: "
    "torch.save(model.state_dict(), 'weights.pth'), or better "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
)


def check_pickle(stream: IO[bytes], file_size: int) -> None:
    """Read one pickle from `stream` up to its end and refuse what plain weights do not need.

    Raises
    ------
    CheckpointError
        The pickle names a function or class that is not among those of plain weights, claims a
        tensor of more elements than the file has bytes, or is no pickle.
    """
    recent: list[tuple[str, Any]] = []
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name in _MEMO:
                continue
            _check_instruction(name, argument, recent, file_size)
            recent = [*recent[-3:], (name, argument)]
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"The file is damaged or is no PyTorch checkpoint ({error}). Download or copy it again."
        ) from error


def _check_instruction(
    name: str, argument: Any, recent: list[tuple[str, Any]], file_size: int
) -> None:
    if name == "GLOBAL":
        _check_name(str(argument))
    elif name == "STACK_GLOBAL":
        parts = [str(text) for kind, text in recent if kind in _STRINGS][-2:]
        _check_name(" ".join(parts))
        raise CheckpointError(
            "The file was saved with pickle protocol 4 or newer, which torch cannot read safely. "
            f"Save it again with torch.save's own protocol. {HOW_TO_CONVERT}"
        )
    elif name in {"INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID"}:
        raise needs_unpickling(f"the pickle instruction {name}")
    elif name == "BINPERSID":
        before = [entry for entry in recent if entry[0] != "NONE"]
        count = before[-2:-1]
        if len(before) < 2 or before[-1][0] != "TUPLE" or count[0][0] not in _INTEGERS:
            raise CheckpointError("The file does not describe its tensors as PyTorch does.")
        if not 0 <= count[0][1] <= file_size:
            raise CheckpointError(
                f"The file claims a tensor of {count[0][1]:,} numbers and has only "
                f"{file_size:,} bytes. It is damaged or made to exhaust memory."
            )


def _check_name(name: str) -> None:
    """Refuse a function or class, `module attribute`, that plain weights do not need."""
    module, _, attribute = name.partition(" ")
    if module == "torch._utils" and attribute in _ODD_TENSORS:
        raise CheckpointError(
            f"The file holds {_ODD_TENSORS[attribute]}; only plain weights can be read. Save the "
            "network's ordinary floating-point weights."
        )
    if not _harmless(name):
        raise needs_unpickling(name.replace(" ", "."))


def _harmless(name: str) -> bool:
    module, _, attribute = name.partition(" ")
    if module in {"torch", "torch.storage"} and attribute.endswith("Storage"):
        return True
    return name in _HARMLESS or (module == "torch" and attribute in _DTYPES)


def needs_unpickling(what: str) -> CheckpointError:
    """Return the refusal of a file that would run code when it is opened."""
    return CheckpointError(
        f"The file holds more than weights: opening it would run code it names ({what}). "
        f"It was not opened, because such a file can do anything on this machine. {HOW_TO_CONVERT}"
    )
