"""The last few results of a session, kept so that none is made twice.

Nothing here knows Streamlit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

SCENES, DETAILS, PICTURES = 12, 3, 160
"""How many a session keeps: forwards, one layer's features (up to 20 MB each), pictures."""


class Recent(OrderedDict[Hashable, Any]):
    """The last few results, by key; the least recently used one goes first."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self._lock = threading.Lock()

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        # Quick clicks make runs of one session overlap. Making takes long and needs no lock.
        with self._lock:
            if key in self:
                self.move_to_end(key)
                found: T = self[key]
                return found
        made = make()
        with self._lock:
            self[key] = made
            while len(self) > self.limit:
                self.popitem(last=False)
        return made


@dataclass(frozen=True, eq=False)
class Results:
    """What was made of photos and networks, by what it was made of."""

    analyses: Recent = field(default_factory=lambda: Recent(SCENES))
    details: Recent = field(default_factory=lambda: Recent(DETAILS))
    pictures: Recent = field(default_factory=lambda: Recent(PICTURES))

    def clear(self) -> None:
        """Forget all of it, as when one of the photos is taken away."""
        for made in (self.analyses, self.details, self.pictures):
            made.clear()
