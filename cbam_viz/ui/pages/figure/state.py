"""What the page Figure keeps of a session besides its settings: extra photos, results."""

from __future__ import annotations

from dataclasses import dataclass, field

from cbam_viz.images import Photo
from cbam_viz.ui import session
from cbam_viz.ui.request import Request
from cbam_viz.ui.session import Recent

ANALYSES, FILES = 64, 3
"""How many forwards and finished figures a session keeps."""


@dataclass(frozen=True)
class Brought:
    """A photo for the figure, with its file's bytes for the bundle."""

    photo: Photo
    content: bytes = field(repr=False)


@dataclass
class Kept:
    """From run to run and from page to page."""

    photos: dict[str, Brought] = field(default_factory=dict)
    """By the beginning of their SHA-256, in the order of arrival."""
    second: Request | None = None
    """The network whose columns have been added to the picked ones."""
    preset: bool = False
    """Whether the second network came with columns of its own, to which none are added."""
    errors: tuple[str, ...] = ()
    """Why files of the last upload could not be read."""
    analyses: Recent = field(default_factory=lambda: Recent(ANALYSES))
    files: Recent = field(default_factory=lambda: Recent(FILES))


def kept() -> Kept:
    """Of this session."""
    return session.keep(Kept)
