"""A forward with some gates replaced by ones: what the network gives without them.

The gates are exchanged where they are multiplied, as watching found them, so that it does not
matter how the code makes them. Nothing is changed in the network and no hook is placed: the mode
below belongs to the thread that runs the forward, and other threads' forwards are as ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ...computation import Computation, GateKind, Site
from ...errors import CaptureError
from ..model.restore import allow_compiled, force_eager, is_compiled
from .trace import in_parts


@contextmanager
def gates_of_ones(
    model: nn.Module, gates: Iterable[tuple[Computation, GateKind]]
) -> Iterator[None]:
    """In this block, run `model` once, on the input that gave these computations.

    Every factor that makes up the gates is a one there: `x * M_c` becomes `x`, to the bit.

    Raises:
        CaptureError: a computation has no such gate; or the forward is not the one that was
            watched, another input or other operations, so that the gate cannot be found in it.
    """
    ones = _Ones(_sites(gates))
    compiled = is_compiled(model)
    if compiled:
        force_eager()
    try:
        with ones:
            yield
    finally:
        if compiled:
            allow_compiled()
    ones.demand_all()


def _sites(gates: Iterable[tuple[Computation, GateKind]]) -> dict[int, list[Site]]:
    sites: dict[int, list[Site]] = {}
    for computation, kind in gates:
        found = [site for gate in computation.gates if gate.kind == kind for site in gate.sites]
        if not found:
            raise CaptureError(
                f"This layer has no {kind} gate that could be replaced. Ask for a layer that has "
                "one, captured with `steps`."
            )
        for site in found:
            sites.setdefault(site.operation, []).append(site)
    return sites


class _Ones(TorchDispatchMode):
    """Counts the operations of a forward as `Trace` does, and exchanges operands of some."""

    def __init__(self, sites: dict[int, list[Site]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sites = sites
        self._operations = self._replaced = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation, with ones for the gate if it is a product with one."""
        kwargs = kwargs or {}
        out = in_parts(self, func, args, kwargs)
        if out is not NotImplemented:
            return out
        self._operations += 1
        for site in self._sites.get(self._operations, ()):
            args = self._exchanged(site, func, args)
        return func(*args, **kwargs)

    def _exchanged(self, site: Site, func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        name = func._schema.name.split("::")[-1]
        gate = args[site.operand] if len(args) > site.operand else None
        if name != site.name or not isinstance(gate, Tensor) or tuple(gate.shape) != site.shape:
            raise _other_forward()
        # Behind a gate that was exchanged, the others have other values.
        if not self._replaced and not _same(float(gate.sum(dtype=torch.float64)), site.total):
            raise _other_forward()
        self._replaced += 1
        if site.operand == 0 and name.endswith("_"):
            gate.fill_(site.one)  # the product is to be written there
            return args
        return (*args[: site.operand], torch.full_like(gate, site.one), *args[site.operand + 1 :])

    def demand_all(self) -> None:
        """Raises CaptureError if a gate was never met."""
        if self._replaced < sum(map(len, self._sites.values())):
            raise _other_forward()


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _other_forward() -> CaptureError:
    return CaptureError(
        "Run again to see what it predicts without this gate, the network did not do the same as "
        "before: it draws random numbers, or keeps something from forward to forward. Without that "
        "(`model.eval()`), the gate can be found and replaced."
    )
