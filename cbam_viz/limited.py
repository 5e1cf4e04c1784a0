"""`run_limited`: read a stranger's file in a process of its own, killed if it takes too much.

What is uploaded may be made to hang whoever reads it, or to fill the memory. Readers have limits of
their own; this is the wall behind them, for programs that serve others meanwhile. The process is a
fresh Python that imports only what the function's module imports (0.2 s without torch).
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from cbam_viz.errors import CbamVizError, LimitError

_AT_ONCE = 4
_places = threading.BoundedSemaphore(_AT_ONCE)
"""So many processes at a time; the next one waits. Else many visitors together exceed any limit."""

_START_SECONDS = 20
_PATIENCE = 4
"""By the clock a process may take so many times its processor time: the machine may be busy."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""One thread each, where a library would start as many as there are processors on import."""

_RESULT, _REFUSED, _MEMORY = b"=", b"!", b"M"
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
_CHILD += "from cbam_viz.limited import _child; _child(*sys.argv[2:])"


def run_limited(
    function: str,
    file: IO[bytes] | bytes,
    arguments: Sequence[Any] = (),
    *,
    seconds: float,
    megabytes: int,
) -> bytes:
    """Call `function(stream, *arguments)` in a process with limits and return the bytes it returns.

    Limits are set by the system where it has them: processor time and memory on Linux, processor
    time on macOS. By the clock the process is killed everywhere, after four times `seconds` and
    the time of its start; on Windows that is all.

    Args:
        function: `"package.module:name"`. Its module should import little: that is what the call
            costs.
        file: what it reads: an open file with a descriptor, or bytes. The function gets it as a
            binary stream that can seek and be mapped, from its start.
        arguments: further positional arguments, of JSON's types.
        seconds: processor time that the call may take, without its imports.
        megabytes: memory that it may allocate beyond what its imports take, and the longest result.
            A mapped file does not count.

    Raises:
        LimitError: it took too long, needed too much memory, or ended without a result; the text is
            the second half of a sentence, "took more than 5 seconds".
        CbamVizError: what the function raised, in its own class.
    """
    if isinstance(file, bytes):
        with tempfile.TemporaryFile() as copy:
            copy.write(file)
            copy.flush()
            return run_limited(function, copy, arguments, seconds=seconds, megabytes=megabytes)
    options = [json.dumps(sys.path), function, json.dumps(list(arguments)), seconds, megabytes]
    command = [sys.executable, "-I", "-c", _CHILD, *map(str, options)]
    with _places, _at_start(file), tempfile.TemporaryFile() as answer:
        try:
            done = subprocess.run(
                command,
                stdin=file,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **dict.fromkeys(_THREADS, "1")},
                timeout=_START_SECONDS + _PATIENCE * seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LimitError(f"took more than {seconds:g} seconds") from error
        except OSError as error:
            raise LimitError(f"could not be read in a process of its own ({error})") from error
        answer.seek(0)
        return _result(answer.read(), done.returncode, seconds, megabytes)


@contextmanager
def _at_start(file: IO[bytes]) -> Iterator[None]:
    """Set the descriptor's own position to 0 meanwhile: processes share it, and Python buffers."""
    before = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    try:
        yield
    finally:
        os.lseek(file.fileno(), before, os.SEEK_SET)


def _result(answer: bytes, status: int, seconds: float, megabytes: int) -> bytes:
    kind, rest = answer[:1], answer[1:]
    if status == 0 and kind == _RESULT:
        return rest
    if status == 0 and kind == _REFUSED:
        name, text = json.loads(rest)
        raise getattr(sys.modules[CbamVizError.__module__], name, CbamVizError)(text)
    if kind == _MEMORY:
        raise LimitError(f"needs more than {megabytes:,} MB of memory")
    if -status in _time_signals():
        raise LimitError(f"took more than {seconds:g} seconds")
    raise LimitError("ended the process that read it")


def _time_signals() -> set[int]:
    import signal

    names = ("SIGPROF", "SIGXCPU", "SIGKILL")
    return {int(getattr(signal, name)) for name in names if hasattr(signal, name)}


def _child(function: str, arguments: str, seconds: str, megabytes: str) -> None:
    """Run in the new process: call the function within the limits and write what it returns."""
    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    _limit(float(seconds), int(megabytes))
    try:
        answer = _RESULT + call(sys.stdin.buffer, *json.loads(arguments))
    except CbamVizError as error:
        answer = _REFUSED + json.dumps([type(error).__name__, str(error)]).encode()
    except MemoryError:
        answer = _MEMORY
    sys.stdout.buffer.write(answer if len(answer) <= int(megabytes) * 10**6 else _MEMORY)


def _limit(seconds: float, megabytes: int) -> None:
    """Set what the system can enforce; the parent's clock is there where it cannot."""
    import signal

    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        import resource
    except ImportError:
        return
    size = megabytes * 10**6
    # Private memory alone: a file that is mapped to be read does not count.
    wanted = {"RLIMIT_DATA": size + _data(), "RLIMIT_FSIZE": size, "RLIMIT_CORE": 0}
    for name, value in wanted.items():
        try:
            hard = resource.getrlimit(getattr(resource, name))[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(getattr(resource, name), (most, most))
        except (AttributeError, OSError, ValueError):
            continue


def _data() -> int:
    """Private memory that this process has already, in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            sizes = [line.split()[1] for line in status if line.startswith("VmData:")]
    except OSError:
        return 0
    return int(sizes[0]) * 1024 if sizes else 0
