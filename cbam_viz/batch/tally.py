"""How far the shards of a run on a cluster are; a process of its own, which needs no torch."""

from __future__ import annotations


class Tally:
    """Keeps how many photos of each shard are through.

    A shard that is begun again, as its worker died, counts from the start again.
    """

    def __init__(self) -> None:
        self._through: dict[int, int] = {}
        self._stopped = False

    def put(self, shard: int, photos: int) -> None:
        """So many photos of a shard are through, in all."""
        self._through[shard] = photos

    def stop(self) -> None:
        """No shard is to be begun any more."""
        self._stopped = True

    def stopped(self) -> bool:
        """Whether that was said."""
        return self._stopped

    def through(self) -> dict[int, int]:
        """Photos that are through, by shard."""
        return dict(self._through)
