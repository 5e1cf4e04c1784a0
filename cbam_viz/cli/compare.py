"""`cbam-viz compare`: networks on one photo, or photos in one network, layer beside layer."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.compare_methods import Asked, compare_methods
from cbam_viz.cli.files import refuse_existing, refuse_unwritable, write
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_images, read_image
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import force_option, json_option, networks_options, view_option
from cbam_viz.cli.report import layer_name
from cbam_viz.cli.text import finite, print_json, print_table, say
from cbam_viz.errors import MetricError, PlainCheckpointError
from cbam_viz.figures.ask.formats import SUFFIXES
from cbam_viz.figures.ask.registry import COLUMNS

if TYPE_CHECKING:
    from cbam_viz.comparison import Comparison
    from cbam_viz.images import View
    from cbam_viz.models import LoadedModel

TABLES = (".csv", ".json")
METHODS = tuple(name for name, kind in COLUMNS.items() if kind.module == "method")
"""Those of `cbam_viz.methods`, known without loading them."""


def _pairs(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[int, str, str], ...]:
    """N:LAYER=LAYER as the number of a side from 0 and both layers; N is 2 if left out."""
    found = []
    for text in values:
        before, _, other = text.rpartition("=")
        number, colon, layer = before.partition(":")
        number, layer = (number, layer) if colon else ("2", before)
        if not (number.isdecimal() and layer and other and int(number) >= 1):
            raise click.BadParameter(f"{text!r} is not [N:]LAYER=LAYER, such as 2:layer4.1.se=-1.")
        found.append((int(number) - 1, layer, other))
    return tuple(found)


@click.command(
    short_help="Compare networks on a photo, or photos in a network.",
    epilog="\b\nExamples:\n"
    "  cbam-viz compare photo.jpg -c first.safetensors -c second.pth\n"
    "  cbam-viz compare photo.jpg -c A -c B --layer -1 -o maps.png -o numbers.csv\n"
    "  cbam-viz compare photo.jpg -c A -c B --method gradcam --target cat -o gradcam.pdf\n"
    "  cbam-viz compare before.jpg after.jpg --same-scene -o scene.pdf",
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE...")
@input_options
@partial(networks_options, each_checkpoint=True)
@view_option
@reading_options
@click.option(
    "--layer",
    "-l",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Layer of the first network that has gates, by name or place (0, -1); may be repeated. "
    "[default: all]",
)
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    callback=_pairs,
    metavar="[N:]LAYER=LAYER",
    help="Set a layer of network N (2 if left out) beside one of the first; may be repeated. "
    "[default: of the same name, else at the same depth of the same stage]",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="Compare maps of this method in place of the gates, of --layer (a layer, module or stage) "
    "or each network's last stage. [default: the gates]",
)
@click.option(
    "--target",
    metavar="CLASS|boxN",
    help="What these maps are for: a class by name or number, or a detector's box. [default: what "
    "the first network predicts, or the box of the highest score]",
)
@click.option(
    "--same-scene",
    is_flag=True,
    help="The photos show the same scene pixel by pixel, so that their maps have differences.",
)
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the maps and their differences (.png, .pdf, .svg, .tiff), or the numbers (.csv, "
    ".json). May be repeated.",
)
@force_option
@json_option
def compare(
    *,
    sources: tuple[str, ...],
    choices: tuple[ModelChoice, ...],
    view: View,
    reading: Reading,
    layers: tuple[str, ...],
    pairs: tuple[tuple[int, str, str], ...],
    method: str | None,
    target: str | None,
    same_scene: bool,
    outputs: tuple[Path, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Compare two to four networks on one IMAGE, or one network on two to four.

    Each --checkpoint is a network; so is each --model. The first that has gates is what the others
    are compared with: differences are theirs less its own, on the pixels that both saw.
    """
    for output in outputs:
        if output.suffix.lower() not in (*SUFFIXES, *TABLES):
            known = ", ".join((*SUFFIXES, *TABLES))
            raise click.UsageError(f"{output} must end in one of {known}.")
    images = find_images(sources)
    from cbam_viz.comparison.comparing import check_counts

    try:
        check_counts(len(choices), len(images))
    except MetricError as error:
        raise click.UsageError(f"{error} Each -c FILE is a network.") from error
    asked = None if method is None else _asked(method, layers, target, pairs)
    if target is not None and method is None:
        raise click.UsageError("Gates are for no class: --target belongs to --method.")
    refuse_existing(outputs, force)
    refuse_unwritable(outputs)
    if asked is not None:
        loaded = [_opened(choice, view) for choice in choices]
        compare_methods(
            asked,
            loaded,
            [read_image(path, reading, loaded[0]) for path in images],
            view,
            same_scene=same_scene,
            outputs=outputs,
            force=force,
            as_json=as_json,
        )
        return
    found = _compared(choices, images, view, reading, pairs, same_scene=same_scene)
    own = found.sides[found.reference].layers
    names = [layer_name(own, one) for one in layers] or list(found.layers)
    written = _write(found, names, outputs, force)
    if as_json:
        from cbam_viz.comparison.tables import as_json as described

        print_json({**described(found, names), "files": [str(one) for one in written]})
        return
    _print(found, names)
    for one in written:
        say(f"Wrote {one}.")


def _asked(
    method: str,
    layers: tuple[str, ...],
    target: str | None,
    pairs: tuple[tuple[int, str, str], ...],
) -> Asked:
    if len(layers) > 1:
        raise click.UsageError("--method compares maps of one layer: give --layer once.")
    asked = Asked(method, next(iter(layers), None), target, pairs)
    asked.check()
    return asked


def _compared(
    choices: tuple[ModelChoice, ...],
    images: list[Path],
    view: View,
    reading: Reading,
    pairs: tuple[tuple[int, str, str], ...],
    *,
    same_scene: bool,
) -> Comparison:
    """Look at every photo, and pair layers as the command line says.

    Raises click.UsageError for a layer that is not there.
    """
    from cbam_viz.comparison import compare as compared

    loaded = [_opened(choice, view) for choice in choices]
    photos = [read_image(path, reading, loaded[0]) for path in images]
    found = compared(loaded, photos, view, same_scene=same_scene)
    return _repaired(found, pairs) if pairs else found


def _opened(choice: ModelChoice, view: View) -> LoadedModel:
    """A network; without attention if its file holds none, of which there is the prediction."""
    try:
        return open_network(choice, view=view)
    except PlainCheckpointError:
        return open_network(replace(choice, attention="none"), view=view)


def _repaired(found: Comparison, pairs: tuple[tuple[int, str, str], ...]) -> Comparison:
    from cbam_viz.comparison import compare_sides

    chosen: dict[int, dict[str, str]] = {}
    for number, layer, other in pairs:
        if number not in found.others:
            raise click.UsageError(
                f"--pair sets a layer of network {number + 1} beside the first; give one of "
                f"{', '.join(str(one + 1) for one in found.others)}."
            )
        first = layer_name(found.sides[found.reference].layers, layer)
        there = found.sides[number].layers
        if not there:
            raise click.UsageError(f"{found.sides[number].title} has no gates to pair.")
        chosen.setdefault(number, {})[first] = layer_name(there, other)
    return compare_sides(found.sides, kin=found.kin, chosen=chosen, same_scene=found.same_scene)


def _write(
    found: Comparison, names: list[str], outputs: tuple[Path, ...], force: bool
) -> list[Path]:
    from cbam_viz.comparison.tables import as_json, csv_text

    written = []
    for output in outputs:
        ending = output.suffix.lower()
        if ending == ".csv":
            data = csv_text(found, names).encode()
        elif ending == ".json":
            text = json.dumps(finite(as_json(found, names)), indent=2, ensure_ascii=False)
            data = f"{text}\n".encode()
        else:
            from cbam_viz import figures

            drawn = figures.compared(found, names, spec=figures.FigureSpec(venue="free"))
            data = figures.render(drawn, figures.format_of(output.name))
        written.append(write(output, data, force=force))
    return written


def _print(found: Comparison, names: list[str]) -> None:
    from cbam_viz.comparison.tables import table

    for side in found.sides:
        analysis = side.analysis
        best = ", ".join(f"{one.label} {one.probability:.1%}" for one in analysis.predictions[:3])
        detected = "" if analysis.detections is None else analysis.detections.told
        say(f"{side.title}: {detected or best or analysis.prediction_note or 'no prediction'}")
        if analysis.no_gates:
            say(f"  {analysis.no_gates}")
    if not names:
        return
    say()
    told = list(table(found, names))
    rows = [_row(found, row) for row in told]
    head = ("layer", "gate", "of", "its layer", "mean", "difference", "spread", "closed", "open",
            "entropy", "Pearson", "Spearman", "IoU")  # fmt: skip
    print_table(head, rows, right="mean difference spread closed open entropy Pearson Spearman IoU")
    notes = dict.fromkeys(str(row["note"]) for row in told if row.get("note"))
    if notes:
        say("\n" + "\n".join(notes))


def _row(found: Comparison, row: dict[str, object]) -> tuple[str, ...]:
    def number(name: str, form: str = ".3f") -> str:
        value = row.get(name)
        return format(value, form) if isinstance(value, float) else ""

    return (
        str(row["layer"]),
        {"spatial": "M_s", "channel": "M_c"}[str(row["gate"])],
        found.sides[int(str(row["side"]))].title,
        str(row["its_layer"]),
        number("mean"),
        number("mean_difference", "+.3f"),
        number("spread"),
        number("closed", ".0%"),
        number("opened", ".0%"),
        number("entropy"),
        number("pearson", ".2f"),
        number("spearman", ".2f"),
        number("overlap", ".2f"),
    )
