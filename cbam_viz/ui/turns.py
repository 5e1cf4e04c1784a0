"""Long work of several visitors: one piece of it at a time, and nobody waits for the whole of it.

Nothing here knows Streamlit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """One thread at a time, in the order in which they came.

    Who takes long lets all others that wait go first between its pieces (`pass_on`).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        """Whose turn it is, and behind it who waits."""

    @contextmanager
    def taken(self) -> Iterator[None]:
        """In this block it is this thread's turn."""
        self._wait()
        try:
            yield
        finally:
            self._end()

    def pass_on(self) -> None:
        """Inside the block: let those that wait have a turn each."""
        with self._changed:
            if len(self._queue) < 2:
                return
        self._end()
        self._wait()

    def _wait(self) -> None:
        mine = object()
        with self._changed:
            self._queue.append(mine)
            self._changed.wait_for(lambda: self._queue[0] is mine)

    def _end(self) -> None:
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()
