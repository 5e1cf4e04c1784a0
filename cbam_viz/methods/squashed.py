"""From a score back to the raw number that it was squashed from.

A detector's scores are between 0 and 1, and where they are near 1 a sigmoid or softmax lets hardly
any gradient through. Every such squashing of a forward is noticed, wherever in the code it stands;
which of them made a score, and of which of its numbers, the score's own gradient says: it is 1
there and 0 at all others if the score is that number, chosen and moved about as the code likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SQUASHING = frozenset({
    torch.sigmoid, Tensor.sigmoid, F.sigmoid, torch.special.expit,
    torch.softmax, Tensor.softmax, F.softmax, torch.special.softmax,
})  # fmt: skip
_IN_PLACE = frozenset({Tensor.sigmoid_, torch.sigmoid_})
_CHOOSING = (
    "Index", "Gather", "Topk", "Sort", "MaskedSelect", "Take", "Scatter", "Unique", "Masked",
)  # fmt: skip
"""Operations that put numbers where other numbers say."""
_PLAIN = ("AccumulateGrad", "CopySlices")
"""An input, and a part that is written to: where, the code says."""


@dataclass(frozen=True)
class Raw:
    """The number that a score was squashed from."""

    call: int
    """Which squashing of the forward."""
    index: int
    """Which of its numbers, flattened."""
    stays: bool
    """True if the number stands there for every input: nothing on the way to it was put where other
    numbers said, as a chosen proposal is."""


class Squashings(TorchFunctionMode):
    """Notices what is squashed while it is entered, or one call alone."""

    def __init__(self, only: int | None = None) -> None:
        super().__init__()
        self._only, self._calls = only, 0
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}
        """What each call took and gave."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and keep what a squashing took and gave."""
        kwargs = kwargs or {}
        if func not in _SQUASHING and func not in _IN_PLACE:
            return func(*args, **kwargs)
        call, self._calls = self._calls, self._calls + 1
        given = args[0] if args else kwargs.get("input")
        if self._only not in (None, call) or not isinstance(given, Tensor):
            return func(*args, **kwargs)
        given = given.clone() if func in _IN_PLACE else given
        out = func(*args, **kwargs)
        self.seen[call] = given, out
        return out

    def raw(self, call: int, index: int) -> Tensor | None:
        """The number of that call, (1,); None if there is none."""
        return None if call not in self.seen else _number(self.seen[call][0], index)

    def share(self, call: int, index: int) -> Tensor | None:
        """What became of it, (1,); None if there is none."""
        return None if call not in self.seen else _number(self.seen[call][1], index)

    def origin(self, score: Tensor) -> Raw | None:
        """Where a score () came from; None if it is no number that was squashed here."""
        calls = [call for call, (given, out) in self.seen.items() if _can_be(given, out)]
        if not calls or not score.requires_grad:
            return None
        outs = [self.seen[call][1] for call in calls]
        pulls: tuple[Tensor | None, ...] = torch.autograd.grad(
            score, outs, retain_graph=True, allow_unused=True
        )
        for call, pull in reversed(list(zip(calls, pulls, strict=True))):
            if pull is None:
                continue
            where = pull.reshape(-1).nonzero()[:, 0]
            if len(where) == 1 and float(pull.reshape(-1)[where[0]]) == 1.0:
                return Raw(call, int(where[0]), _stays(self.seen[call][0]))
        return None


def _number(values: Tensor, index: int) -> Tensor | None:
    return values.reshape(-1)[index : index + 1] if index < values.numel() else None


def _can_be(given: Tensor, out: Tensor) -> bool:
    return given.requires_grad and out.requires_grad and given.shape == out.shape


def _stays(value: Tensor) -> bool:
    """Whether no operation behind it is one that chooses, or one that is not known."""
    waiting, met = [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in met:
            continue
        met.add(node)
        name = node.name().removeprefix("torch::autograd::")
        known = name.rstrip("0123456789").endswith("Backward") and name[-1].isdigit()
        if name not in _PLAIN and (not known or name.startswith(_CHOOSING)):
            return False
        waiting += [before for before, _ in node.next_functions]
    return True
