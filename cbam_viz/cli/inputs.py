"""Which image files a command line means: files, folders, patterns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbam_viz._places import SAMPLE
from cbam_viz.batch.sources.files import can_be_a_path, matches, walk

if TYPE_CHECKING:
    from cbam_viz.images import Photo
    from cbam_viz.models import LoadedModel


def find_images(sources: Iterable[str]) -> list[Path]:
    """Expand files, folders (recursively, in name order) and patterns; each file once.

    Raises:
        click.UsageError: a source that names nothing, or no image in any of them.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        for path in _expand(source):
            found.setdefault(path.resolve(), path)
    if not found:
        raise click.UsageError("No images to read: the folders hold none.")
    return list(found.values())


def find_one_image(source: str) -> Path:
    """Return the one file that `source` names; raise click.UsageError for several or none."""
    found = find_images([source])
    if len(found) > 1:
        raise click.UsageError(f"{source!r} names {len(found)} images, and this takes one.")
    return found[0]


@dataclass(frozen=True)
class Reading:
    """How images are read; picklable, for worker processes."""

    window: tuple[float, float] | None = None
    """Values that are black and white; None: the network's, else what the file declares."""
    index: int | None = None
    """Which slice of a volume; None: the middle one."""

    def photo(self, path: Path, loaded: LoadedModel) -> Photo:
        """Read one image for a network. Raises ImageError."""
        from cbam_viz.images import read_photo

        return read_photo(path, window=self.window or loaded.spec.window, index=self.index)


def read_image(path: Path, reading: Reading, loaded: LoadedModel) -> Photo:
    """Read one image, and say on standard error what was done to show it. Raises ImageError."""
    photo = reading.photo(path, loaded)
    for note in photo.notes:
        click.echo(f"{photo.name}: {note}", err=True)
    return photo


def _expand(source: str) -> list[Path]:
    if source.startswith(SAMPLE):
        return [_sample(source)]
    path = Path(source)
    if not can_be_a_path(path):
        raise click.UsageError(f"{source[:40]}… is too long for the name of a file.")
    if path.is_dir():
        return list(walk(path))
    if path.exists():
        return [path]
    found = matches(source)
    if not found:
        raise click.UsageError(f"There is no file, folder or match of pattern {source!r}.")
    return found


def _sample(source: str) -> Path:
    from cbam_viz.images import sample_of, samples

    sample = sample_of(source)
    if sample is None:
        known = ", ".join(one.name for one in samples())
        name = source.removeprefix(SAMPLE)
        raise click.UsageError(f"There is no sample {name!r}; there are {known}.")
    return sample.path
