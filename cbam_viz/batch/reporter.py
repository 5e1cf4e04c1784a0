"""Who is told what a run does."""

from __future__ import annotations


class Reporter:
    """Is told what a run does; this one is silent."""

    def say(self, text: str) -> None:
        """A sentence."""

    def begin(self, total: int, done: int) -> None:
        """How many photos this run answers for, and how many were done before."""

    def advance(self, photos: int) -> None:
        """So many more are through."""
