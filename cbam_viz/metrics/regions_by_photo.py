"""Which objects are those of a photo: by its name, and its folder where names are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from cbam_viz._text import few, quoted
from cbam_viz.errors import MetricError

if TYPE_CHECKING:
    from cbam_viz.metrics.regions import Region


class Regions(dict[str, "tuple[Region, ...]"]):
    """Objects by the shortest name of their photo that no other one has."""

    notes: tuple[str, ...] = ()
    """Sentences on what was left out or assumed."""
    files: Mapping[str, str] = {}
    """The whole name of each, with `/` between folders and without suffix."""

    @classmethod
    def of(cls, stored: Mapping[str, Sequence[Region]], notes: Iterable[str] = ()) -> Regions:
        """From objects by names as they are stored; suffixes tell no photos apart."""
        whole: dict[str, list[Region]] = {}
        for name, regions in stored.items():
            path = PurePosixPath(PureWindowsPath(name).as_posix())
            whole.setdefault(str(path.with_suffix("")), []).extend(regions)
        times = Counter(map(_bare, whole))
        keys = {name: _bare(name) if times[_bare(name)] == 1 else name for name in whole}
        found = cls((keys[name], tuple(regions)) for name, regions in whole.items())
        found.files = {key: name for name, key in keys.items()}
        found.notes = tuple(notes)
        return found

    def keys_of(self, photo: str, *, elsewhere: bool) -> list[str]:
        """The keys that may mean a photo by its path; of several, nothing says which."""
        path = PurePosixPath(PureWindowsPath(photo).as_posix())
        alike = {key: name for key, name in self.files.items() if _bare(name) == path.stem}
        # Who names the most of its folders means it the surest.
        known = {key: PurePosixPath(name).parts[:-1] for key, name in alike.items()}
        ends = {key: parts for key, parts in known.items() if _ends(path.parts[:-1], parts)}
        most = max(map(len, ends.values()), default=0)
        inside = [key for key, parts in ends.items() if len(parts) == most]
        return inside or (list(alike) if elsewhere else [])


def regions_of(
    regions: Mapping[str, Sequence[Region]],
    photo: str,
    label: str | None = None,
    *,
    elsewhere: bool = True,
) -> tuple[Region, ...]:
    """The objects of a photo by its path or file name, of one class if `label` is given.

    Where the folders that are stored differ from the photo's, its name alone counts; without
    `elsewhere`, as where another photo has the same name, it does not.

    Raises:
        MetricError: there are none, or those of several photos of that name.
    """
    by_photo = regions if isinstance(regions, Regions) else Regions.of(regions)
    keys = by_photo.keys_of(photo, elsewhere=elsewhere)
    if len(keys) > 1:
        raise MetricError(
            f"{photo}: several photos have that name ({few(sorted(keys))}), and its folder does "
            "not say which it is."
        )
    found: Iterable[Region] = by_photo[keys[0]] if keys else ()
    if label is not None:
        found = [one for one in found if one.label == label]
    if not (chosen := tuple(found)):
        what = "objects" if label is None else f"objects of class {quoted(label)}"
        raise MetricError(f"{photo}: no {what} are known of it.")
    return chosen


def _bare(name: str) -> str:
    """The name without its folders."""
    return name.rpartition("/")[2]


def _ends(folders: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether a photo's folders end in those that are stored, of which bare names have none."""
    return not parts or folders[-len(parts) :] == parts
