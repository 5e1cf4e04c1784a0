"""A figure's files: pictures, arrays, numbers, manifest, LaTeX, and all of them in one ZIP."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cbam_viz.figures.ask.formats import DEFAULT_DPI
from cbam_viz.figures.beside.latex import latex
from cbam_viz.figures.beside.manifest import (
    FileMade,
    NetworkSource,
    PhotoSource,
    RunSource,
    StoreSource,
    make_manifest,
)
from cbam_viz.figures.beside.tables import arrays_bytes, numbers_text
from cbam_viz.figures.content.composition import Composition
from cbam_viz.models import LoadedModel

Extra = Literal["arrays", "numbers", "manifest", "latex"]
EXTRAS: tuple[Extra, ...] = get_args(Extra)
ENDINGS: dict[Extra, str] = {
    "arrays": ".npz",
    "numbers": ".csv",
    "manifest": ".manifest.json",
    "latex": ".tex",
}


@dataclass(frozen=True)
class Sources:
    """Where a figure comes from, for its manifest."""

    photos: tuple[PhotoSource, ...]
    networks: tuple[NetworkSource, ...]
    loaded: tuple[LoadedModel, ...] = ()
    command: tuple[str, ...] = ()
    run: RunSource | None = None
    evaluation: FileMade | None = None
    stores: tuple[StoreSource, ...] = ()


def extra_files(
    figure: Composition,
    stem: str,
    extras: Collection[Extra],
    sources: Sources,
    *,
    rendered: Mapping[str, bytes],
    dpi: int = DEFAULT_DPI,
) -> dict[str, bytes]:
    """What is asked for beside the rendered files, by file name."""
    files: dict[str, bytes] = {}
    if "arrays" in extras:
        files[stem + ENDINGS["arrays"]] = arrays_bytes(figure)
    if "numbers" in extras:
        files[stem + ENDINGS["numbers"]] = numbers_text(figure).encode()
    if "latex" in extras:
        included = next(iter(rendered), f"{stem}.pdf")
        files[stem + ENDINGS["latex"]] = latex(figure, included, label=stem).encode()
    if "manifest" in extras:
        manifest = make_manifest(
            figure, sources.photos, sources.networks, files={**rendered, **files}, dpi=dpi,
            loaded=sources.loaded, command=sources.command, run=sources.run,
            evaluation=sources.evaluation, stores=sources.stores,
        )  # fmt: skip
        files[stem + ENDINGS["manifest"]] = manifest.to_json().encode()
    return files
