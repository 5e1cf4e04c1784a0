"""`cbam-viz evaluate`: what maps of gates and of other methods are worth, over a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cbam_viz
from cbam_viz._places import absolute
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.figure_options import width_of
from cbam_viz.cli.files import refuse_existing, refuse_unwritable, write
from cbam_viz.cli.index import hash_of, network_mark, source_text
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_images
from cbam_viz.cli.journal import JOURNAL, Journal
from cbam_viz.cli.labels import FOLDERS, Labels
from cbam_viz.cli.measured_layers import measured_layers
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import force_option, json_option, model_options, seed_option, view_option
from cbam_viz.cli.own_code import command_line
from cbam_viz.cli.text import print_json, print_table, say
from cbam_viz.errors import CbamVizError, FigureError, MetricError
from cbam_viz.labels import names_alike

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.evaluation import Curve, Plan, Row, Summary
    from cbam_viz.figures import FigureSpec
    from cbam_viz.images import View
    from cbam_viz.metrics import Region, Regions
    from cbam_viz.models import LoadedModel

SOME_FAILED = 1
GATE = "gate"
METHODS = (
    GATE,
    "gradcam",
    "gradcam++",
    "layercam",
    "eigencam",
    "scorecam",
    "occlusion",
    "whole",
)
GROUPS = ("removal", "confidence", "boxes", "sparseness")
TABLES = ("table.csv", "table.json", "table.tex")
FIGURE = "figure"
BESIDE = ("figure.csv", "figure.tex", "figure.manifest.json")


@click.command(
    short_help="Measure what maps are worth, beside other methods and chance.",
    epilog="\b\nExamples:\n"
    "  cbam-viz evaluate photos/ -o results\n"
    "  cbam-viz evaluate photos/ --boxes boxes.json --labels folders -o results\n"
    "  cbam-viz evaluate photos/ --layer all --method gate --measure boxes --boxes masks/\n"
    "  cbam-viz evaluate street.jpg --checkpoint detector.pt --target box2",
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE|FOLDER|PATTERN...")
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Where the objects are: COCO JSON, Pascal VOC XML, YOLO text files or PNG masks.",
)
@click.option(
    "--labels",
    metavar=f"FILE|{FOLDERS}",
    help="True classes, for which maps are then made: a CSV with a file name and a class in each "
    f"row, a JSON object of these, or '{FOLDERS}' for the names of the folders that the photos lie "
    "in. [default: what the network predicts]",
)
@click.option(
    "--target",
    metavar="CLASS|boxN",
    help="What maps are made for and measured by, on all photos: a class by name or number, or a "
    "detector's box, or of a class its highest. [default: the label, or what the network predicts, "
    "or the box of the highest score]",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(METHODS),
    help="gate: the layers' spatial maps; whole: one map of all of them. May be repeated. "
    "[default: gate, gradcam]",
)
@click.option(
    "--layer",
    "-l",
    "names",
    multiple=True,
    metavar="NAME",
    help="A layer with gates by name or place (0, -1), 'all' of these, or a module or stage "
    "(layer4) for the methods. May be repeated. [default: the layer to look at first, or the last "
    "stage]",
)
@click.option(
    "--measure",
    "groups",
    multiple=True,
    type=click.Choice(GROUPS),
    help="removal: insertion and deletion; confidence: drop and increase. May be repeated. "
    "[default: all, boxes if --boxes is given]",
)
@click.option(
    "--steps",
    type=click.IntRange(2, 1000),
    metavar="N",
    default=20,
    show_default=True,
    help="In how many steps pixels are replaced, for insertion and deletion.",
)
@click.option(
    "--ties",
    type=click.Choice(["shuffled", "reading-order"]),
    default="shuffled",
    show_default=True,
    help="How places of equal value are put in order.",
)
@seed_option("Of whatever is random.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help=f"Write {', '.join(TABLES)}, a figure with {', '.join(BESIDE)}, and {JOURNAL}; the same "
    "command goes on where it ended.",
)
@click.option(
    "--figure",
    "formats",
    multiple=True,
    type=click.Choice(["pdf", "svg", "png"]),
    default=("pdf",),
    help="Format of the figure; may be repeated. [default: pdf]",
)
@click.option(
    "--venue",
    default="cvpr",
    show_default=True,
    metavar="NAME",
    help="Where the figure is printed; see cbam-viz figure --list-venues.",
)
@click.option(
    "--width",
    default="text",
    show_default=True,
    metavar="column|text|MM",
    help="Of the figure: one column, the whole text, or so many millimetres.",
)
@input_options
@model_options
@view_option
@reading_options
@force_option
@json_option
def evaluate(
    *,
    sources: tuple[str, ...],
    boxes: Path | None,
    labels: str | None,
    target: str | None,
    methods: tuple[str, ...],
    names: tuple[str, ...],
    groups: tuple[str, ...],
    steps: int,
    ties: str,
    seed: int,
    output: Path | None,
    formats: tuple[str, ...],
    venue: str,
    width: str,
    choice: ModelChoice,
    view: View,
    reading: Reading,
    force: bool,
    as_json: bool,
) -> int:
    """Measure maps of gates and of other methods, each beside maps of chance.

    Beside them always stand a uniform map, a Gaussian in the middle of the picture and, for each
    map, one of chance that is as smooth. Photos that cannot be measured are named on standard
    error and skipped; the exit status is then 1.
    """
    from cbam_viz.evaluation import Plan, mean_curves, summarise
    from cbam_viz.evaluation import as_json as described
    from cbam_viz.figures import FigureSpec
    from cbam_viz.metrics import Regions, read_regions

    if "boxes" in groups and boxes is None:
        raise click.UsageError("To measure by boxes, say where they are: --boxes FILE.")
    if labels is not None and target is not None:
        raise click.UsageError("Labels say what maps are made for: give --labels or --target.")
    spec = FigureSpec(layout="evaluation", venue=venue, width=width_of(width))  # type: ignore[arg-type]
    pictures = tuple(f"{FIGURE}.{one}" for one in dict.fromkeys(formats))
    regions = Regions() if boxes is None else read_regions(boxes)
    for note in regions.notes:
        click.echo(note, err=True)
    images = find_images(sources)
    known = None if labels is None else Labels(labels, images)
    wanted = groups or tuple(one for one in GROUPS if one != "boxes" or boxes is not None)
    if output is not None:
        before = (output / JOURNAL).exists()
        refuse_existing([output / one for one in (*TABLES, *pictures, *BESIDE)], force or before)
        refuse_unwritable([output / JOURNAL])
    loaded = open_network(choice, view=view)
    run = _Run(loaded, reading, target if known is None else known, regions, names_alike(images))
    analysis = run.first(images, view)
    gates, layers, chosen = measured_layers(analysis, loaded, names, methods, gate=GATE)
    plan = Plan(
        gates,
        layers,
        chosen,
        tuple(wanted),  # type: ignore[arg-type]
        steps,
        ties.replace("-", " "),  # type: ignore[arg-type]
        seed,
        view,
    )
    finds = analysis.detections is not None and not analysis.predictions
    whose = target or _default_words(labelled=labels is not None, finds=finds)
    settings = _settings(loaded, plan, boxes, whose, finds=finds)
    journal = Journal(
        None if output is None else output / JOURNAL,
        {**settings, "network": network_mark(loaded, choice.factory)},
        force=force,
    )
    done = run.all(images, plan, journal)
    if not done:
        raise MetricError(f"No photo could be measured. {next(iter(run.skipped.values()), '')}")
    found = summarise([line["maps"] for line in done], seed=seed)
    curves = mean_curves([line["curves"] for line in done])
    files = []
    if output is not None:
        files = _write(found, settings, curves, output)
        files += _draw(described(found, settings, curves), spec, pictures, output)
    if as_json:
        failed = [{"source": str(path), "error": why} for path, why in run.skipped.items()]
        print_json(
            {
                **described(found, settings, curves),
                "skipped": failed,
                "files": [str(file) for file in files],
            }
        )
    else:
        _tell(found, settings, files)
    return SOME_FAILED if run.skipped else 0


@dataclass(eq=False)
class _Run:
    """The photos of one run; those that fail are told and left out."""

    loaded: LoadedModel
    reading: Reading
    target: Labels | str | None
    """What maps are made for: the labels, or the same on all photos; see `measure_photo`."""
    regions: Regions
    alike: frozenset[str]
    """Names that several photos have, in different folders."""

    def __post_init__(self) -> None:
        """No photo has failed yet."""
        self.skipped: dict[Path, str] = {}

    def first(self, images: Sequence[Path], view: View) -> Analysis:
        """What the network makes of the first photo that can be read: which layers it has."""
        from cbam_viz.analysis import analyse

        problem: CbamVizError | None = None
        for path in images:
            try:
                return analyse(
                    self.loaded, self.reading.photo(path, self.loaded), view, gates=False
                )
            except CbamVizError as error:
                problem = error
        assert problem is not None
        raise problem

    def all(self, images: Sequence[Path], plan: Plan, journal: Journal) -> list[dict[str, Any]]:
        """Measure what the journal has not yet; the lines of all photos that are measured."""
        from tqdm import tqdm

        lines = []
        with tqdm(total=len(images), unit="photo", disable=not sys.stderr.isatty()) as bar:
            for path in images:
                line = journal.lines.get((source_text(path), hash_of(path) or ""))
                try:
                    if line is None or "curves" not in line:  # one from before there were any
                        line = self._measured(path, plan)
                        journal.add(line)
                    lines.append(line)
                except (CbamVizError, MemoryError) as error:
                    self.skipped[path] = str(error) or "There was not enough memory for it."
                    bar.write(f"Skipped {path}: {self.skipped[path]}", file=sys.stderr)
                bar.update()
        return lines

    def _measured(self, path: Path, plan: Plan) -> dict[str, Any]:
        from tqdm import tqdm

        from cbam_viz.evaluation import measure_photo
        from cbam_viz.metrics import regions_of

        loaded = self.loaded
        wish = self.target
        target = wish.of(path, loaded.classes) if isinstance(wish, Labels) else wish
        photo = self.reading.photo(path, loaded)
        objects: tuple[Region, ...] = ()
        notes: tuple[str, ...] = ()
        if "boxes" in plan.groups:
            try:
                elsewhere = path.name not in self.alike
                objects = regions_of(self.regions, str(absolute(path)), elsewhere=elsewhere)
            except MetricError as error:
                why = str(error).removeprefix(f"{absolute(path)}: ")
                notes = (f"{why[0].upper()}{why[1:]} So nothing is said of where maps lie on it.",)
        found = measure_photo(loaded, photo, plan, target, objects)
        for note in notes or found.notes:
            tqdm.write(f"{path.name}: {note}", file=sys.stderr)
        return {
            "source": source_text(path),
            "sha256": hash_of(path) or "",
            "target": found.target,
            "target_name": found.target_name,
            "probability": found.probability,
            "boxes": len(objects),
            "maps": found.maps,
            "curves": found.curves,
        }


def _settings(
    loaded: LoadedModel, plan: Plan, boxes: Path | None, target: str, *, finds: bool
) -> dict[str, Any]:
    """What the numbers hang on, for every output; `finds` says that the network finds objects."""
    from cbam_viz.evaluation import mean_colour_words
    from cbam_viz.metrics.removal import BLUR

    return {
        "version": cbam_viz.__version__,
        "model": loaded.name,
        "view": plan.view,
        "gates": " ".join(plan.gates),
        "methods": " ".join(plan.methods),
        "layers": " ".join(plan.layers),
        "measures": " ".join(plan.groups),
        "score": "score of a box" if finds else "probability of the class (after softmax)",
        "class": target,
        "steps": plan.steps,
        "ties": plan.ties,
        "seed": plan.seed,
        "blurred_by": f"Gaussian, {BLUR:.0%} of the shorter side",
        "mean_is": mean_colour_words(loaded),
        "objects": "" if boxes is None else boxes.name,
    }


def _default_words(*, labelled: bool, finds: bool) -> str:
    if finds:
        return f"the box of the highest score{' of the label' if labelled else ''}"
    return "the label" if labelled else "the predicted one"


def _write(
    found: Summary, settings: dict[str, Any], curves: Sequence[Curve], output: Path
) -> list[Path]:
    import json

    from cbam_viz.evaluation import as_json, csv_text, latex_text

    texts = (
        csv_text(found, settings),
        json.dumps(as_json(found, settings, curves), indent=2) + "\n",
        latex_text(found, settings),
    )
    named = zip(TABLES, texts, strict=True)
    return [write(output / name, text.encode(), force=True) for name, text in named]


def _draw(
    document: dict[str, Any], spec: FigureSpec, pictures: Sequence[str], output: Path
) -> list[Path]:
    """The figure of the table, and what belongs beside it; nothing, with a sentence, if it cannot.

    The table has been written then, and is what the run was for.
    """
    from cbam_viz.figures import build, evaluated, format_of
    from cbam_viz.figures.beside.bundle import Sources, extra_files
    from cbam_viz.figures.beside.manifest import FileMade, sha256

    table = (output / TABLES[1]).read_bytes()
    try:
        built = build(spec, evaluated(document))
    except FigureError as error:
        click.echo(f"No figure was drawn. {error}", err=True)
        return []
    rendered = {name: built.render(format_of(name)) for name in pictures}
    origin = Sources(
        (), (), command=("cbam-viz", *command_line()), evaluation=FileMade(TABLES[1], sha256(table))
    )
    beside = extra_files(built, FIGURE, ("numbers", "latex", "manifest"), origin, rendered=rendered)
    return [write(output / name, data, force=True) for name, data in {**rendered, **beside}.items()]


def _tell(found: Summary, settings: dict[str, Any], files: Sequence[Path]) -> None:
    columns, maps = found.matrix
    arrows = {"higher": " ↑", "lower": " ↓", "neither": ""}
    head = ["map", *(f"{one.short}{arrows[one.better]}" for one in columns)]
    print_table(head, [[name, *map(_cell, rows)] for name, rows in maps], right=" ".join(head[1:]))
    say()
    say(
        f"Means over {found.photos} photo{'' if found.photos == 1 else 's'}; arrows point to the "
        "better side, † does not beat the Gaussian. Intervals and all measures: --json, or -o."
    )
    say("; ".join(f"{key}: {value}" for key, value in settings.items() if value != "") + ".")
    for sentence in found.sentences():
        say(sentence)
    for file in files:
        say(f"Wrote {file}.")


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{row.mean:.3f}" + ("†" if row.gaussian is not None and not row.gaussian.beats else " ")
