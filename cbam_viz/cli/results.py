"""The files of `cbam-viz export`: one folder for each image, and one index of them all."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cbam_viz.cli.drawing import overlays
from cbam_viz.cli.files import write
from cbam_viz.cli.report import choose_layers

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.cli.jobs import Job, Outcome
    from cbam_viz.models import LoadedModel
    from cbam_viz.render import ImageFormat

FORMATS = ("npz", "csv", "statistics", "png", "jpg")
PICTURES: dict[str, ImageFormat] = {"png": "png", "jpg": "jpeg"}
INDEX = "index.csv"
INDEX_COLUMNS = (
    "source",
    "folder",
    "sha256",
    "prediction",
    "probability",
    "error",
    "note",
    "input",
)


def folder_names(sources: Sequence[Path]) -> list[str]:
    """Return a folder name for each image: its stem, with more of its path where stems collide.

    Names do not depend on the order of the images, and differ in more than case.
    """
    names: dict[Path, str] = {}
    rest = list(sources)
    for name_of in (_stem, _parent_and_stem, _name, _parent_and_name, _whole):
        wanted = {source: name_of(source) for source in rest}
        taken = Counter(_folded(name) for name in (*wanted.values(), *names.values()))
        unique = {s: name for s, name in wanted.items() if taken[_folded(name)] == 1}
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


def _whole(source: Path) -> str:
    # The slashes become underscores, and so a hash of the whole path is added.
    return _safe(str(source.resolve()))


def _safe(text: str) -> str:
    from cbam_viz.store import safe_name

    return safe_name(text)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKD", name).casefold()


def write_results(
    analysis: Analysis, loaded: LoadedModel, folder: Path, job: Job
) -> tuple[Path, ...]:
    """Write the files that the job asks for; return them. Raises CbamVizError, click.UsageError."""
    contents = _contents(analysis, loaded, job)
    return tuple(write(folder / name, data, force=job.force) for name, data in contents)


def _contents(analysis: Analysis, loaded: LoadedModel, job: Job) -> Iterator[tuple[str, bytes]]:
    from cbam_viz.statistics import all_statistics, doubted, layer_to_show
    from cbam_viz.store import Provenance, csv_text, npz_bytes, safe_names, statistics_text

    attention = analysis.attention
    if "npz" in job.formats:
        origin = Provenance.of_analysis(analysis, loaded.sha256)
        yield "gates.npz", npz_bytes(attention, origin)
    if "csv" in job.formats:
        yield "gates.csv", csv_text(attention).encode()
    if "statistics" in job.formats:
        statistics = doubted(all_statistics(attention), analysis.doubt)
        yield "statistics.csv", statistics_text(statistics).encode()
    for ending in [ending for ending in PICTURES if ending in job.formats]:
        layers = choose_layers(attention, job.layers) or [layer_to_show(attention.values())]
        pictures = overlays(analysis, layers, job.style, PICTURES[ending])
        names = safe_names(pictures)
        for layer, picture in pictures.items():
            yield f"overlay_{names[layer]}.{ending}", picture.data


def write_index(output: Path, outcomes: Iterable[Outcome], *, force: bool) -> Path:
    """Write one line for each image: where it came from, where it went, what it shows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(INDEX_COLUMNS)
    for outcome in outcomes:
        best = outcome.predictions[0] if outcome.predictions else {}
        writer.writerow(
            (
                outcome.source,
                "" if outcome.error else outcome.folder.name,
                outcome.sha256 or "",
                best.get("label", ""),
                best.get("probability", ""),
                outcome.error or "",
                outcome.note,
                outcome.fed,
            )
        )
    return write(
        # A file name may hold bytes that are no UTF-8; they are spelt out.
        output / INDEX, text.getvalue().encode("utf-8", "backslashreplace"), force=force
    )  # fmt: skip
