"""The files of `cbam-viz export` in each image's folder, and the names of these folders."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cbam_viz.cli.drawing import overlays
from cbam_viz.cli.files import write
from cbam_viz.cli.report import choose_layers

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.cli.jobs import Job
    from cbam_viz.models import LoadedModel
    from cbam_viz.render import ImageFormat

FORMATS = ("npz", "csv", "statistics", "png", "jpg")
PICTURES: dict[str, ImageFormat] = {"png": "png", "jpg": "jpeg"}
HASH_DIGITS = 8
LONGEST = "overlay_" + 100 * "x" + ".png"
"""As long as the longest name of a file in an image's folder."""
_OURS = re.compile(
    r"gates\.(npz|csv)|statistics\.csv|overlay_.+\.(png|jpg)"
    # What is left of one that was being written when the process was killed.
    r"|\.(gates|statistics|overlay_).*\.[0-9a-f]{16}\.part"
)


def folder_names(sources: Sequence[Path]) -> list[str]:
    """Return a folder name for each image: its stem, with more of its path where stems collide.

    Names do not depend on the order of the images, differ in more than case, and tell nothing of
    where the images lie beyond the folder that they are in.
    """
    from cbam_viz.store.names import folded

    names: dict[Path, str] = {}
    rest = list(sources)
    above = len(_common_folder(sources).parts)

    def hashed(source: Path) -> str:
        return _hashed(source, source.resolve().parts[above:])

    for name_of in (_stem, _parent_and_stem, _name, _parent_and_name, hashed):
        wanted = {source: name_of(source) for source in rest}
        taken = Counter(folded(name) for name in (*wanted.values(), *names.values()))
        unique = {s: name for s, name in wanted.items() if taken[folded(name)] == 1}
        names |= unique
        rest = [source for source in rest if source not in unique]
    return [names[source] for source in sources]


def _stem(source: Path) -> str:
    return _safe(source.stem)


def _name(source: Path) -> str:
    return _safe(source.name)


def _parent_and_stem(source: Path) -> str:
    return _safe(f"{source.resolve().parent.name}_{source.stem}")


def _parent_and_name(source: Path) -> str:
    return _safe(f"{source.resolve().parent.name}_{source.name}")


def _hashed(source: Path, parts: tuple[str, ...]) -> str:
    """The name and a hash of the path below what all images share, the same on every machine."""
    path = "/".join(parts).encode("utf-8", "surrogateescape")
    return _safe(f"{source.stem}-{hashlib.sha256(path).hexdigest()[:HASH_DIGITS]}")


def _common_folder(sources: Sequence[Path]) -> Path:
    folders = {source.resolve().parent for source in sources}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # no images, or several drives
        return Path()


def _safe(text: str) -> str:
    from cbam_viz.store import safe_name

    return safe_name(text)


def write_results(
    analysis: Analysis, loaded: LoadedModel, folder: Path, job: Job
) -> tuple[Path, ...]:
    """Write the files that the job asks for; return them. Raises CbamVizError, click.UsageError."""
    contents = _contents(analysis, loaded, job)
    return tuple(write(folder / name, data, force=job.force) for name, data in contents)


def _is_ours(path: Path) -> bool:
    return _OURS.fullmatch(path.name) is not None


def _contents(analysis: Analysis, loaded: LoadedModel, job: Job) -> Iterator[tuple[str, bytes]]:
    from cbam_viz.statistics import all_statistics, doubted, layer_to_show
    from cbam_viz.store import Provenance, csv_text, npz_bytes, safe_names, statistics_text

    attention, geometry = analysis.attention, analysis.geometry
    chosen = choose_layers(attention, job.layers)  # a name that no layer has is said in any case
    if "npz" in job.formats:
        origin = Provenance.of_analysis(analysis, loaded.sha256)
        yield "gates.npz", npz_bytes(attention, origin)
    if "csv" in job.formats:
        yield "gates.csv", csv_text(attention, geometry=geometry).encode()
    if "statistics" in job.formats:
        numbers = all_statistics(attention, geometry=geometry)
        statistics = doubted(numbers, analysis.doubt)
        yield "statistics.csv", statistics_text(statistics).encode()
    for ending in [ending for ending in PICTURES if ending in job.formats]:
        layers = chosen or [layer_to_show(attention.values(), geometry=geometry)]
        pictures = overlays(analysis, layers, job.style, PICTURES[ending])
        names = safe_names(pictures)
        for layer, picture in pictures.items():
            yield f"overlay_{names[layer]}.{ending}", picture.data


def is_result(path: Path, output: Path) -> bool:
    """Whether a picture is an overlay of an earlier run: the output may lie among the photos."""
    folders = path.resolve().parents
    return len(folders) > 1 and folders[1] == output.resolve() and _is_ours(path)


def remove_results(folder: Path, keep: Iterable[Path] = ()) -> None:
    """Remove the files that exports make in an image's folder, and the folder if nothing is left.

    What cannot be removed stays; files of other names are not touched.
    """
    kept = {path.name for path in keep}
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.name not in kept and _is_ours(path):
                path.unlink()
        if not kept:
            folder.rmdir()
