"""The files of a figure: which there will be, and writing them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbam_viz.cli.files import refuse_existing, refuse_unwritable, write

if TYPE_CHECKING:
    from cbam_viz.figures.beside.bundle import Extra, Sources


def files_wanted(
    outputs: Sequence[Path], extras: Sequence[str], *, force: bool
) -> tuple[tuple[Extra, ...], Path]:
    """What goes beside the pictures, and the path of all files without their endings.

    Raises:
        StoreError: for a file that is there already, unless forced, or a place that takes none.
    """
    from cbam_viz.figures.beside.bundle import ENDINGS, EXTRAS

    wanted = EXTRAS if "all" in extras else tuple(one for one in EXTRAS if one in extras)
    stem = outputs[0].with_suffix("")
    beside = [stem.with_name(stem.name + ENDINGS[extra]) for extra in wanted]
    refuse_existing([*outputs, *beside], force)
    refuse_unwritable([*outputs, *beside])
    return wanted, stem


def write_figure(
    built: Any,
    outputs: Sequence[Path],
    wanted: Sequence[Extra],
    origin: Sources,
    *,
    dpi: int,
    force: bool,
) -> list[Path]:
    """Write the pictures, and beside the first what is wanted."""
    from cbam_viz.figures.ask.formats import format_of
    from cbam_viz.figures.beside.bundle import extra_files

    stem = outputs[0].with_suffix("")
    files = {path.name: built.render(format_of(path.name), dpi=dpi) for path in outputs}
    more = extra_files(built, stem.name, wanted, origin, rendered=files, dpi=dpi)
    written = [write(path, files[path.name], force=force) for path in outputs]
    return written + [write(stem.with_name(n), data, force=force) for n, data in more.items()]
