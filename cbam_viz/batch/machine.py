"""What a program of its own may tune for a run over many photos; the library never does.

Two cores run two processes of one thread faster than one process of two threads, so worker
processes share the work out, each with one thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""From glibc's malloc.h."""
_PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h."""


def cores() -> int:
    """Return how many processors this process may use, by its affinity and its container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, _container_cores()))


def _container_cores() -> int:
    """By the control group's limit of processor time; many where there is none."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123
            quota, period = file.read().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return sys.maxsize


def keep_memory() -> None:
    """Make glibc keep freed memory, before any network is built; elsewhere do nothing.

    A forward of a large batch frees and asks for the same large blocks again and again; handing
    them back to the system each time costs up to two fifths of the whole time.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 1 << 28)):
            libc.mallopt(option, value)


def can_fork() -> bool:
    """Whether this process can be forked together with its network.

    On Linux, as data loaders do: a worker computes with one thread, so that it needs no thread that
    the fork has lost. A process that has used CUDA cannot be forked.
    """
    import torch

    return sys.platform == "linux" and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


def become_worker(parent: int) -> None:
    """Make this process a worker: one thread, deaf to Ctrl-C, and gone when its parent is.

    `parent` is that one's process id; it may be gone before this is called.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    one_thread()


def one_thread() -> None:
    """Let this process, which does nothing else, compute with one thread and keep its memory."""
    os.environ["OMP_NUM_THREADS"] = "1"
    keep_memory()
    import torch

    torch.set_num_threads(1)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Let processes start with Ctrl-C blocked, as they inherit it; here it waits until the end.

    A worker that is interrupted while it starts would leave the parent with a broken pipe, and the
    other way round. Blocking alone does not do here: another thread may take the signal.
    """
    if not hasattr(signal, "pthread_sigmask") or current_thread() is not main_thread():
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if came and callable(handler):
        handler(came[0], None)


@contextmanager
def exactly_on(device: str) -> Iterator[None]:
    """One thread on a processor, and no shortcuts on a GPU: the same bits at every run."""
    import torch

    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        if device == "cuda":
            torch.set_float32_matmul_precision("highest")
            # Without `enabled` these flags would turn cuDNN off.
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                yield
            return
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(products)
