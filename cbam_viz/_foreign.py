"""Somebody else's code in this program: what it sets for the whole process, how it ends, where it
fails.

A network's own Python code runs because its owner named it. It is theirs, not hostile; but what it
sets must not reach our files and arithmetic or another network, and where it ends the program or
fails, its owner is told.
"""

from __future__ import annotations

import os
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cbam_viz._places import PACKAGE
from cbam_viz._text import quoted

if TYPE_CHECKING:
    import torch


ASKS_FOR_KEYS = (
    " It asks for something at the keyboard, by input() say, and there is nobody to answer: write "
    "the answer into the code, or make it an argument."
)
"""What an EOFError of somebody's code means, to follow what it says."""


class AtOnceError(SystemExit):
    """`os._exit` was called."""


class _Here(threading.local):
    """Whether the code of this thread is somebody else's, and of which process it is then."""

    process: int | None = None


class _Guard:
    """How many look out for `os._exit` now, and what it is otherwise."""

    users = 0
    leave = staticmethod(os._exit)


_here = _Here()
_lock = threading.Lock()


@contextmanager
def exits_told() -> Iterator[None]:
    """Let `os._exit` end the program as `sys.exit` does, so that it can be said who called it.

    Only where it is called by this thread: processes and threads that the code starts end as they
    are used to.
    """
    with _lock:
        if _Guard.users == 0:
            _Guard.leave, os._exit = staticmethod(os._exit), _told  # type: ignore[assignment]
        _Guard.users += 1
    before, _here.process = _here.process, os.getpid()
    try:
        yield
    finally:
        _here.process = before
        with _lock:
            _Guard.users -= 1
            if _Guard.users == 0:
                os._exit = _Guard.leave


def _told(status: int) -> None:
    if _here.process != os.getpid():
        _Guard.leave(status)
    raise AtOnceError(status)


def end_now(status: int) -> NoReturn:
    """End this process, as `os._exit` does where nobody else's code is about."""
    _Guard.leave(status)
    raise AssertionError


def exit_call(stop: SystemExit) -> str:
    """Return what ended the program, as it is written in code: `os._exit(3)`."""
    code = "" if stop.code is None else quoted(stop.code, 200)
    return f"{'os._exit' if isinstance(stop, AtOnceError) else 'sys.exit'}({code})"


def place_of(error: BaseException) -> str:
    """Return where in somebody's own files an error arose: ` See line 12 of mycbam.py.`

    Empty where none of their lines was running, only those of installed packages and of Python.
    """
    installed = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    others = (str(PACKAGE) + os.sep, "<", *(f"{path}{os.sep}" for path in installed))
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith(others) and Path(file).suffix == ".py":
            place = f" See line {line} of {Path(file).name}."
    return place


@dataclass(frozen=True)
class Surroundings:
    """What code has set for all that runs after it: torch's defaults and the working folder."""

    dtype: torch.dtype
    device: torch.device | None
    """None where it is none of this machine."""
    folder: str | None
    """None where that folder is gone."""

    @classmethod
    def now(cls) -> Surroundings:
        """Return those of this thread."""
        import torch

        device = folder = None
        with suppress(OSError):
            folder = os.getcwd()  # noqa: PTH109  at every forward, and Path takes ten times as long
        with suppress(Exception):
            device = torch.get_default_device()
        return cls(torch.get_default_dtype(), device, folder)

    def take_effect(self) -> None:
        """Make this thread's, and this process's, be these."""
        import torch

        now = Surroundings.now()
        if self.dtype != now.dtype:
            torch.set_default_dtype(self.dtype)
        if self.device != now.device:
            # None, not "cpu": a default device of any kind slows every call of torch.
            plain = self.device is None or self.device.type == "cpu"
            torch.set_default_device(None if plain else self.device)
        if self.folder is not None and self.folder != now.folder:
            with suppress(OSError):
                os.chdir(self.folder)


@contextmanager
def kept_apart(theirs: Surroundings | None = None) -> Iterator[None]:
    """Run somebody's code in its surroundings; afterwards they are again what they were."""
    import torch

    before, grad = Surroundings.now(), torch.is_grad_enabled()
    try:
        if theirs is not None:
            theirs.take_effect()
        with exits_told():
            yield
    finally:
        before.take_effect()
        if torch.is_grad_enabled() != grad:
            torch.set_grad_enabled(grad)
