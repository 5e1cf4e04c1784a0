"""Which values of a forward live on from one operation to the next ones, and which operations need
not run again to get there.

Two forwards on one input are the same up to the first gate that is replaced. What lies before it
need not be computed twice: the few values that are used afterwards are kept from a first forward,
and put where the second one has them. The network's own code runs all the same, on tensors that
hold nothing until then, so that nothing need be known of it.

That is exact where the code cannot know: where it reads no number out of a tensor, draws none at
random and writes to nothing that was there before the forward. `Tape.refusal` says what of this a
network does not keep to; it is then run as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from cbam_viz.ablation._capture import ASKING, base
from cbam_viz.ablation.passes import tensors_of

READING = frozenset(
    "numpy tolist __array__ __dlpack__ data_ptr __cuda_array_interface__ storage".split()  # noqa: SIM905
)
"""Ways in which Python reads a tensor's memory without any operation."""
NEVER = 1 << 60


class Reading(TorchFunctionMode):
    """Notices whether numbers are read out of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.read = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Go on, and note what was called."""
        self.read = self.read or getattr(func, "__name__", "") in READING
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Made:
    """A tensor that an operation made in memory of its own."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def empty(self) -> Tensor:
        """One like it that holds nothing."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)


@dataclass
class Stored:
    """The memory of one value, from when it is made to when it is used for the last time."""

    made: int
    """Number of the operation."""
    place: int
    """Among the results of that operation."""
    last: int
    writes: list[int] = field(default_factory=list)

    def version(self, at: int) -> int:
        """How often it was written to before operation `at`."""
        return sum(number < at for number in self.writes)


@dataclass(frozen=True)
class Again:
    """What stands for an operation in a second forward: nothing of this is computed."""

    made: Any = None
    """`Made`, or a tuple or list of them and of other results as they were."""
    written: tuple[int, ...] = ()
    """Else the places of the arguments that it writes to and returns."""
    run: bool = False
    """It is a view, and costs nothing."""


@dataclass
class Tape:
    """What was noted of one forward."""

    funcs: list[Any] = field(default_factory=list)
    agains: list[Again] = field(default_factory=list)
    stored: dict[int, Stored] = field(default_factory=dict)
    refusal: str = ""
    """Why no part of this forward may be left out; empty if it may."""
    proven: bool = False
    """True once a forward that was started in the middle has given the same output."""
    asked: bool = False
    """True if numbers were read out of tensors: another photo may go another way."""
    _held: dict[int, StorageWeakRef] = field(default_factory=dict)

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """An operation ran."""
        self.funcs.append(func)
        number = len(self.funcs)
        try:
            self.agains.append(self._noted(number, func, args, kwargs, out))
        except (RuntimeError, NotImplementedError) as error:  # tensors without plain memory
            self.agains.append(Again(run=True))
            self.refuse(f"uses tensors of another kind ({type(error).__name__})")

    def end(self) -> None:
        """The forward is over: what still lives is returned, or kept by somebody."""
        for identity, stored in self.stored.items():
            if not self._held[identity].expired():  # type: ignore[no-untyped-call]
                stored.last = NEVER
        self._held.clear()

    def refuse(self, reason: str) -> None:
        """Keep the first reason."""
        self.refusal = self.refusal or reason

    def live(self, at: int) -> list[Stored]:
        """What was made before operation `at` and is used by it or later."""
        return [one for one in self.stored.values() if one.made < at <= one.last]

    def _noted(
        self, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Again:
        name = func._schema.name.split("::")[-1]
        if base(name) in ASKING:
            self.asked = True
            self.refuse("reads numbers out of tensors")
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.refuse("draws random numbers")
        given = {_identity(one) for one in tensors_of((*args, *kwargs.values()))}
        for identity in given & self.stored.keys():
            self.stored[identity].last = number
        view = torch.Tag.inplace_view in func.tags
        if view and name in ("set_", "resize_"):
            self.refuse("changes the memory of tensors")
        if view or not func._schema.is_mutable:
            return Again(run=True) if view else self._results(number, given, out)
        return self._written(number, func, args, kwargs, out)

    def _written(
        self, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Again:
        places = []
        for place, (about, value) in enumerate(zip(func._schema.arguments, args, strict=False)):
            if about.alias_info is not None and about.alias_info.is_write:
                places.append(place)
                for one in tensors_of((value,)):
                    stored = self.stored.get(_identity(one))
                    if stored is None:
                        self.refuse("writes to tensors that were there before")
                    else:
                        stored.writes.append(number)
        results = list(tensors_of((out,)))
        first = [args[place] for place in places]
        if len(results) != len(first) or any(
            one is not two for one, two in zip(results, first, strict=True)
        ):
            self.refuse("writes to tensors in an unusual way")
        return Again(written=tuple(places))

    def _results(self, number: int, given: set[int], out: Any) -> Again:
        parts = out if isinstance(out, (tuple, list)) else (out,)
        made: list[Any] = []
        aliases = False
        for place, part in enumerate(parts):
            if not isinstance(part, Tensor):
                made.append(part)
                continue
            identity = _identity(part)
            aliases = aliases or identity in given or identity in self.stored
            if aliases:
                continue
            what = Made(tuple(part.shape), part.stride(), part.dtype, part.device)
            if part.untyped_storage().nbytes() != what.empty().untyped_storage().nbytes():
                self.refuse("makes tensors in memory that is not theirs alone")
            self.stored[identity] = Stored(number, place, number)
            self._held[identity] = StorageWeakRef(part.untyped_storage())  # type: ignore[no-untyped-call]
            made.append(what)
        if aliases:
            if made:
                self.refuse("makes tensors in memory that is not theirs alone")
            return Again(run=True)
        return Again(made=type(out)(made) if isinstance(out, (tuple, list)) else made[0])


def _identity(tensor: Tensor) -> int:
    if tensor.is_nested or tensor.layout is not torch.strided:
        raise NotImplementedError
    identity: int = tensor.untyped_storage()._cdata
    return identity


Content = dict[tuple[int, int, int], torch.UntypedStorage]
"""Copies of memory, by the operation and place that made it and by how often it was written to."""


class Keeping:
    """Keeps what is live at some operations, while a forward runs."""

    def __init__(self, tape: Tape, at: Iterable[int]) -> None:
        self.tape, self.kept = tape, Content()
        self._at = sorted(set(at))
        wanted = {id(one): one for number in self._at for one in tape.live(number)}
        self._wanted = {(one.made, one.place): one for one in wanted.values()}
        self._storages: dict[tuple[int, int], torch.UntypedStorage] = {}
        self._numbers = {made for made, _ in self._wanted}

    def before(self, number: int) -> None:
        """Operation `number` comes next."""
        if not self._at or number != self._at[0]:
            return
        self._at.pop(0)
        for one in self.tape.live(number):
            key = (one.made, one.place, one.version(number))
            if key not in self.kept:
                self.kept[key] = self._storages[key[:2]].clone()  # type: ignore[no-untyped-call]
        for place in list(self._storages):
            if not any(at <= self._wanted[place].last for at in self._at):
                del self._storages[place]

    def after(self, number: int, out: Any) -> None:
        """Operation `number` gave this."""
        if number in self._numbers:
            for place, part in enumerate(out if isinstance(out, (tuple, list)) else (out,)):
                if (number, place) in self._wanted and isinstance(part, Tensor):
                    self._storages[number, place] = part.untyped_storage()


class Skipping:
    """Stands for the operations before one, and then puts the kept values into place."""

    def __init__(self, tape: Tape, kept: Content, at: int) -> None:
        self._tape, self._kept, self.at = tape, kept, at
        self._live = {(one.made, one.place): one.version(at) for one in tape.live(at)}
        self._numbers = {made for made, _ in self._live}
        self._storages: dict[tuple[int, int], torch.UntypedStorage] = {}

    def result(self, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What stands for the result of operation `number`."""
        if self._tape.funcs[number - 1] is not func:
            raise OtherWayError
        again = self._tape.agains[number - 1]
        if again.run:
            return func(*args, **kwargs)
        if again.written:
            written = [args[place] for place in again.written]
            return written[0] if len(written) == 1 else tuple(written)
        out = _empty(again.made)
        if number in self._numbers:
            for place, part in enumerate(out if isinstance(out, (tuple, list)) else (out,)):
                if (number, place) in self._live:
                    self._storages[number, place] = part.untyped_storage()
        return out

    def restore(self) -> None:
        """Now all live values are what they were."""
        for place, version in self._live.items():
            self._storages[place].copy_(self._kept[(*place, version)])
        self._storages.clear()


class OtherWayError(Exception):
    """The code does not do in a second forward what it did in the first."""


def _empty(made: Any) -> Any:
    if isinstance(made, Made):
        return made.empty()
    if isinstance(made, (tuple, list)):
        return type(made)([_empty(part) for part in made])
    return made
