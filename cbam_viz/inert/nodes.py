"""What a pickle makes, as far as it is no number or short text: nodes that say what they are."""

from __future__ import annotations

from typing import Any, TypeAlias

from cbam_viz.errors import CheckpointError

HOW_TO_CONVERT = (
    "If you trust where it is from, load it once where it was made and save the weights alone: "
    "torch.save(model.state_dict(), 'weights.pth'), or better "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
)


class Node:
    """Something that a pickle makes, other than a number or a short text.

    kind, items:
    - `list`, `tuple`, `set`, `frozenset`: its values
    - `dict`: keys and values in turn
    - `text`, `bytes`: the text, the bytes
    - `name`: the module and name of something that would be imported, with a dot between
    - `call`: the function or class, and its arguments; it was not called
    - `storage`: the persistent identifier by which torch refers to numbers, a tuple's values
    """

    __slots__ = ("index", "items", "kind", "more")

    def __init__(self, kind: str, items: Any, index: int) -> None:
        self.kind = kind
        self.items = items
        self.index = index
        self.more: list[Any] | None = None
        """What was done to a call's result, one after the other: `state`, `items` or `pairs`, and
        the values."""


Value: TypeAlias = "bool | int | float | str | Node | None"


def damaged(cause: str) -> CheckpointError:
    """Return the refusal of a file that is not whole."""
    return CheckpointError(
        f"The PyTorch file is damaged or cut off ({cause}). Download or copy it again."
    )
