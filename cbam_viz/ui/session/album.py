"""The photos that one session brought. Nothing here knows Streamlit.

They stay in the memory of their session alone, as the files that they came as: decoding one again
takes a moment, and sixteen decoded photos of a phone would take half a gigabyte.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KEPT = 16
"""Photos that a session keeps, and how many it takes at once."""
KEPT_BYTES = 200 * 2**20
"""Bytes that their files may have together."""


@dataclass(frozen=True)
class Incoming:
    """A file that has arrived and that nobody has read yet."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class OwnPhoto:
    """A photo that this session brought, read once and found to be one."""

    number: int
    """From 1 in the order of arrival; never given twice in a session."""
    name: str
    sha256: str
    content: bytes = field(repr=False)
    """The file."""
    thumbnail: str = field(repr=False)
    """A small picture as a data URL."""
    notes: tuple[str, ...] = ()
    """What was done to show it, in sentences."""


@dataclass
class Album:
    """Own photos, and what is on its way to become one."""

    photos: tuple[OwnPhoto, ...] = ()
    """In the order of arrival."""
    brought: int = 0
    """The last number that was given."""
    shots: int = 0
    """Pictures that the camera took."""
    round: int = 0
    """Which uploader is on the page: each takes files once, so that none is kept twice."""
    arrived: tuple[str, ...] = ()
    """Names of the files that the last uploader took."""
    incoming: tuple[Incoming, ...] = ()
    shown: bool = True
    """False until one of `incoming` is on the page."""
    problems: tuple[str, ...] = ()
    """Why files of the last time could not be taken, a sentence each."""
    gone: tuple[str, ...] = ()
    """Names of photos that gave way to those of the last time."""
    camera: bool = False
    """True from the wish to use the camera until its window opens."""

    def find(self, number: int | None) -> OwnPhoto | None:
        """The photo of that number, if it is still kept."""
        return next((one for one in self.photos if one.number == number), None)


def within_limits(
    photos: tuple[OwnPhoto, ...], shown: int | None
) -> tuple[tuple[OwnPhoto, ...], tuple[OwnPhoto, ...]]:
    """What is kept and what goes: the oldest first, and never the photo that is shown."""
    kept, gone = list(photos), []
    while len(kept) > KEPT or sum(len(one.content) for one in kept) > KEPT_BYTES:
        oldest = next((one for one in kept if one.number != shown), None)
        if oldest is None:
            break
        kept.remove(oldest)
        gone.append(oldest)
    return tuple(kept), tuple(gone)
