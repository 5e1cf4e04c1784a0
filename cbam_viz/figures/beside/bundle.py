"""A figure's files: pictures, arrays, numbers, manifest, LaTeX, and all of them in one ZIP."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cbam_viz.figures.beside.latex import latex
from cbam_viz.figures.beside.manifest import NetworkSource, PhotoSource, make_manifest
from cbam_viz.figures.beside.tables import arrays_bytes, numbers_text
from cbam_viz.figures.build import Built
from cbam_viz.figures.paper.output import DEFAULT_DPI, FileFormat
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


def render_files(
    built: Built, stem: str, formats: Sequence[FileFormat], *, dpi: int = DEFAULT_DPI
) -> dict[str, bytes]:
    """The figure in each format, by file name."""
    return {f"{stem}.{one}": built.render(one, dpi=dpi) for one in formats}


def extra_files(
    built: Built,
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
        files[stem + ENDINGS["arrays"]] = arrays_bytes(built)
    if "numbers" in extras:
        files[stem + ENDINGS["numbers"]] = numbers_text(built).encode()
    if "latex" in extras:
        included = next(iter(rendered), f"{stem}.pdf")
        files[stem + ENDINGS["latex"]] = latex(built, included, label=stem).encode()
    if "manifest" in extras:
        manifest = make_manifest(
            built, sources.photos, sources.networks, files={**rendered, **files}, dpi=dpi,
            loaded=sources.loaded, command=sources.command,
        )  # fmt: skip
        files[stem + ENDINGS["manifest"]] = manifest.to_json().encode()
    return files
