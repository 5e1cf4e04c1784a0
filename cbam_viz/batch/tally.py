"""How far the shards of a run on a cluster are; a process of its own, which needs no torch."""

from __future__ import annotations


class Tally:
    """Keeps how many photos of each shard are through.

    A shard that is begun again, as its worker died, counts from the start again.
    """

    def __init__(self) -> None:
        self._through: dict[int, int] = {}

    def put(self, shard: int, photos: int) -> None:
        """So many photos of a shard are through, in all."""
        self._through[shard] = photos

    def through(self) -> dict[int, int]:
        """Photos that are through, by shard."""
        return dict(self._through)
