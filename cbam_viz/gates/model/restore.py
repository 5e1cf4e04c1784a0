"""What a forward may change in a model, kept as it was."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

train_lock = threading.RLock()
"""Held during a forward in train mode, whose buffers are put back at its end."""
_stance_lock = threading.Lock()
_eager: dict[str, Any] = {"users": 0, "stance": None}


class Buffers:
    """Buffers of a model in train mode (BatchNorm's statistics), restored by `restore`."""

    def __init__(self, model: nn.Module) -> None:
        self._kept: list[tuple[dict[str, Tensor | None], str, Tensor, Tensor]] = []
        with torch.no_grad():
            for module in model.modules():
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        copy = buffer.detach().clone()
                        self._kept.append((module._buffers, name, buffer, copy))

    def restore(self) -> None:
        """Put every buffer back; `.data` because a backward may still need the version counter."""
        for holder, name, buffer, copy in self._kept:
            with torch.no_grad():
                buffer.data.copy_(copy)
            holder[name] = buffer


class State:
    """What a forward was called with, and where the generators of random numbers stood.

    To keep Python's and NumPy's takes as long as everything else that a second run needs, so it is
    done only where they are `drawn` from.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, drawn: bool) -> None:
        self.args, self.kwargs = args, kwargs
        self._kept = _of_torch() | (_of_others() if drawn else {})
        self.repeated = True
        """False if a second run drew from generators whose state had not been kept."""

    @contextmanager
    def again(self) -> Iterator[None]:
        """As it was then, and afterwards as it is now: nobody draws a number less, or one twice."""
        now = _of_torch() | _of_others()
        _set_generators(self._kept)
        try:
            yield
        finally:
            self.repeated = "random" in self._kept or not _drawn_since(now)
            _set_generators(now)

    def drawn(self) -> bool:
        """Whether numbers have been drawn from Python's or NumPy's generators, which were kept."""
        return _drawn_since(self._kept)


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Whatever is drawn inside, what is drawn afterwards is what it would have been."""
    now = _of_torch() | _of_others()
    try:
        yield
    finally:
        _set_generators(now)


def _of_torch() -> dict[str, Any]:
    """The states of torch's common generators."""
    states: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _of_others() -> dict[str, Any]:
    """Those of Python's and NumPy's."""
    states: dict[str, Any] = {"random": random.getstate()}
    if "numpy.random" in sys.modules:
        states["numpy"] = sys.modules["numpy.random"].get_state()
    return states


def _drawn_since(then: dict[str, Any]) -> bool:
    now = _of_others()
    if now["random"] != then["random"] or now.keys() - then.keys():
        return True
    pairs = zip(now.get("numpy", ()), then.get("numpy", ()), strict=True)
    return not all(np.array_equal(one, two) for one, two in pairs)


def _set_generators(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "random" in states:
        random.setstate(states["random"])
    if "numpy" in states:
        sys.modules["numpy.random"].set_state(states["numpy"])


altered: ContextVar[bool] = ContextVar("cbam_viz_altered", default=False)
"""True in a forward whose values somebody changes on the way: what it shows holds for it alone."""


@contextmanager
def calm() -> Iterator[None]:
    """Arithmetic on copies: no autograd, no autocast, and results that can be used anywhere."""
    with torch.inference_mode(False), torch.no_grad(), ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def is_compiled(modules: Iterable[nn.Module]) -> bool:
    """True if torch.compile wraps one of a network's modules."""
    return any(
        getattr(module, "_compiled_call_impl", None) is not None or "_orig_mod" in module._modules
        for module in modules
    )


def force_eager() -> None:
    """Run compiled modules eagerly, in all threads, until as many calls of `allow_compiled`."""
    with _stance_lock:
        if _eager["users"] == 0:
            stance: Any = torch.compiler.set_stance("force_eager")
            stance.__enter__()
            _eager["stance"] = stance
        _eager["users"] += 1


def allow_compiled() -> None:
    """End one `force_eager`."""
    with _stance_lock:
        _eager["users"] -= 1
        if _eager["users"] == 0:
            _eager["stance"].__exit__(None, None, None)
            _eager["stance"] = None
