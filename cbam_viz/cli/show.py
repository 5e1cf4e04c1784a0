"""`cbam-viz show`: one photo's prediction, numbers and overlays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.drawing import Style, overlays
from cbam_viz.cli.files import refuse_existing, refuse_unwritable, write
from cbam_viz.cli.input_options import also_option, input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_one_image, read_image
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import (
    force_option,
    json_option,
    model_options,
    picture_options,
    view_option,
)
from cbam_viz.cli.report import (
    analysis_json,
    choose_layers,
    print_analysis,
    print_limits,
)
from cbam_viz.cli.text import print_json, say
from cbam_viz.errors import StoreError

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.attention import LayerAttention
    from cbam_viz.images import View


@click.command(
    short_help="Show a prediction and where each layer attends.",
    epilog="\b\nExamples:\n"
    "  cbam-viz show photo.jpg\n"
    "  cbam-viz show photo.jpg --layer -1 -o overlay.png\n"
    "  cbam-viz show sample:cat --layer all -o overlays/ --scale shared",
)
@click.argument("image")
@input_options
@model_options
@view_option
@reading_options
@also_option
@click.option(
    "--layer",
    "-l",
    "names",
    multiple=True,
    metavar="NAME",
    help="Layer by name or place (0, -1), or 'all'; may be repeated. Numbers are printed of all "
    "layers if none is given, and the overlay is of the last one whose map is not too coarse.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE.png|FOLDER",
    help="Write the overlay to this file, or the overlays of several layers to this folder.",
)
@picture_options
@force_option
@json_option
def show(
    *,
    image: str,
    choice: ModelChoice,
    view: View,
    reading: Reading,
    also: tuple[str, ...],
    names: tuple[str, ...],
    output: Path | None,
    style: Style,
    force: bool,
    as_json: bool,
) -> None:
    """Show what the network predicts for IMAGE and where each layer attends.

    IMAGE is a file, or a photo that comes with the project: sample:cat, sample:coffee,
    sample:portrait, sample:raccoon.
    """
    paths = [find_one_image(one) for one in (image, *also)]
    if output is not None:
        refuse_unwritable([output if output.suffix else output / "overlay.png"])
    from cbam_viz.analysis import analyse
    from cbam_viz.statistics import doubted, layer_statistics

    loaded = open_network(choice, view=view)
    photo, *others = [read_image(path, reading, loaded) for path in paths]
    asked = bool(names) or output is not None
    analysis = analyse(loaded, photo, view, also=others, gates=asked)
    chosen = choose_layers(analysis.attention, names)
    numbers = [
        layer_statistics(layer, geometry=analysis.geometry)
        for layer in chosen or analysis.attention.values()
    ]
    statistics = doubted(numbers, analysis.doubt)
    written = _write_overlays(analysis, chosen, output, style, force) if output else {}
    print_limits(analysis.attention)
    if as_json:
        files = {name: str(file) for name, file in written.items()}
        print_json({**analysis_json(analysis, statistics), "overlays": files})
        return
    print_analysis(analysis, statistics)
    for name, file in written.items():
        say(f"Wrote {file} ({name}).")


def _write_overlays(
    analysis: Analysis, chosen: list[LayerAttention], output: Path, style: Style, force: bool
) -> dict[str, Path]:
    """Write the overlays; return their files by layer name.

    Raises:
        CbamVizError: there is nothing to draw, or a file exists and is not to be overwritten.
    """
    from cbam_viz.statistics import layer_to_show
    from cbam_viz.store import safe_name

    first = layer_to_show(analysis.layers, geometry=analysis.geometry)
    pictures = overlays(analysis, chosen or [first], style)
    if not pictures:
        raise StoreError("These layers gate channels only: they have no map to draw on the photo.")
    if output.suffix.lower() == ".png" and len(pictures) == 1:
        files = dict.fromkeys(pictures, output)
    elif output.suffix:
        kind = "several layers" if output.suffix.lower() == ".png" else f"{output.suffix} files"
        raise StoreError(
            f"Overlays of {kind} cannot be written to {output}. Name a .png file for one layer, or "
            "a folder for several."
        )
    else:
        stem = safe_name(Path(analysis.photo.name).stem)
        files = {name: output / f"{stem}_{safe_name(name)}.png" for name in pictures}
    refuse_existing(files.values(), force)
    for name, file in files.items():
        write(file, pictures[name].data, force=force)
    return files
