"""`cbam-viz watch`: how the gates of a training changed from epoch to epoch."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz._places import SAMPLE
from cbam_viz._text import counted
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.files import refuse_unwritable, write
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_images
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import json_option, model_options, view_option
from cbam_viz.cli.own_code import command_line
from cbam_viz.cli.text import print_json, print_table, say
from cbam_viz.errors import CbamVizError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cbam_viz.images import Photo, View
    from cbam_viz.models import LoadedModel
    from cbam_viz.runs import Finding, GateNumbers, Run, Watched

SOME_FAILED = 1
STEM_NUMBERS, STEM_MAPS = "curves", "maps"


@click.command(
    short_help="Follow the gates of a training through its checkpoints.",
    epilog="\b\nExamples:\n"
    "  cbam-viz watch runs/mine\n"
    "  cbam-viz watch runs/mine --photos probes/ --architecture resnet50\n"
    "  cbam-viz watch runs/mine --model mycbam.py:net --input 320\n"
    "  cbam-viz watch sample:shapes --output shapes",
)
@click.argument("run", metavar="RUN")
@click.option(
    "--photos",
    "sources",
    multiple=True,
    metavar="IMAGE|FOLDER|PATTERN",
    help="Probe photos, the same at every epoch; may be repeated. [default: those that come along]",
)
@click.option(
    "--out",
    "--output",
    "-o",
    "out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the measured run goes, with its tables and figures. [default: gates in RUN]",
)
@click.option(
    "--layer",
    "-l",
    "names",
    multiple=True,
    metavar="NAME",
    help="Layers of the figures, by name or place (0, -1); may be repeated. [default: all as "
    "curves, the last of each stage as maps]",
)
@click.option(
    "--venue", default="free", show_default=True, metavar="NAME", help="Of the figures' width."
)
@click.option("--no-figures", is_flag=True, help="Write the tables alone.")
@input_options
@model_options
@view_option
@reading_options
@json_option
def watch(
    *,
    run: str,
    sources: tuple[str, ...],
    out: Path | None,
    names: tuple[str, ...],
    venue: str,
    no_figures: bool,
    choice: ModelChoice,
    view: View,
    reading: Reading,
    as_json: bool,
) -> int:
    """Measure the gates of every checkpoint in the folder RUN on the same photos, and say what
    became of them: a table, curves by layer, maps by epoch, and gates that went wrong since when.

    RUN may also be what cbam_viz.log_gates wrote during a training. Called again, only what is
    new is measured, also while the training goes on.
    """
    from cbam_viz.runs import findings, open_run, run_numbers

    if choice.checkpoint is not None:
        raise click.UsageError("RUN names the checkpoints; leave --checkpoint out.")
    watched = _measured(run, out, choice, _Probes(sources, reading, view), names)
    opened = open_run(run if watched is None else watched.folder)
    _check_layers(opened.layers, names)
    place = out or (None if run.startswith(SAMPLE) else opened.path)
    numbers = run_numbers(opened)
    found = findings(numbers, opened.record.unit)
    files: list[Path] = []
    if place is not None:
        files = _write(opened, numbers, found, place, None if no_figures else (venue, names))
    failed = [] if watched is None else [one for one in watched.left_out if one.failed]
    if as_json:
        from cbam_viz.runs.tables import as_json as described

        told: dict[str, Any] = {**described(opened, numbers, found), "files": list(map(str, files))}
        told["left_out"] = [
            {"checkpoint": one.file.name, "reason": one.reason, "failed": one.failed}
            for one in ([] if watched is None else watched.left_out)
        ]
        print_json(told)
    else:
        _tell(opened, numbers, found, watched, files)
    return SOME_FAILED if failed else 0


@dataclass(frozen=True)
class _Probes:
    """The probe photos of a command line, and how they are shown."""

    sources: tuple[str, ...]
    reading: Reading
    view: View

    def read(self) -> list[Photo]:
        """All of them are needed, so that one that cannot be read is an error."""
        from cbam_viz.images import read_photo, samples

        wanted = self.sources or [one.source for one in samples()]
        window, index = self.reading.window, self.reading.index
        return [read_photo(path, window=window, index=index) for path in find_images(wanted)]


def _check_layers(layers: Sequence[str], names: Sequence[str]) -> None:
    """Raise StoreError if one of `names` is no layer, by name or place."""
    from cbam_viz.layer_names import find_name, no_such_layer

    for name in names:
        if find_name(layers, name) is None:
            raise StoreError(no_such_layer(layers, name))


def _measured(
    run: str, out: Path | None, choice: ModelChoice, probes: _Probes, names: Sequence[str]
) -> Watched | None:
    """Measure the checkpoints of a folder; None for a run that a training wrote itself.

    `names` are the layers that figures will be asked for, which the first network must have.
    """
    from cbam_viz.analysis import analyse
    from cbam_viz.runs import find_run, watch_checkpoints
    from cbam_viz.runs.order import folder_of_checkpoints
    from cbam_viz.runs.reading import INSIDE
    from cbam_viz.runs.record import RUN, read_record
    from cbam_viz.runs.watching import fed_alike

    folder = Path(run)
    there = find_run(run)
    if run.startswith(SAMPLE) or (there is not None and _is_whole(there, folder, probes.sources)):
        if there is None:
            from cbam_viz.runs import sample_runs

            raise StoreError(f"There is no run {run}; there are {', '.join(sample_runs())}.")
        return None
    if not folder.is_dir():
        raise StoreError(f"There is no folder {run}. Give that of a training's checkpoints.")
    target = out or folder / INSIDE
    if out is None and probes.sources and there is not None:
        record = read_record(there)
        if record is not None and record.made_by == "log":
            raise click.UsageError(
                f"{there} was written by the training itself, on inputs of its own. For its "
                "checkpoints on other photos, say where that goes: --out FOLDER."
            )
    source = folder_of_checkpoints(folder)
    if source != folder:
        click.echo(f"The checkpoints are those in {source}.", err=True)
    refuse_unwritable([target / RUN])
    photos, view = probes.read(), probes.view
    first: list[LoadedModel] = []

    def opened(path: Path) -> LoadedModel:
        loaded = open_network(replace(choice, checkpoint=str(path)), quiet=bool(first))
        if not first:
            loaded = fed_alike(loaded, photos, view)  # as is said here, and done for all
            if names:  # hours may go by before a figure asks for them
                _check_layers(list(analyse(loaded, photos[0], view).attention), names)
            click.echo(loaded.fed(view, hint=True), err=True)
            first.append(loaded)
        return loaded

    with _progress() as (tick, total):
        watched = watch_checkpoints(
            source, target, photos, opened, view=view, made_with=_options(choice, probes.reading),
            tick=tick, total=total,
        )  # fmt: skip
    for one in watched.left_out:
        click.echo(f"Left out {one.file.name}: {one.reason}", err=True)
    return watched


def _is_whole(there: Path, folder: Path, sources: Sequence[str]) -> bool:
    """Whether what lies there is all there is to show: nothing is to be measured."""
    from cbam_viz.runs.record import read_record

    record = read_record(there)
    if record is None or (record.made_by == "log" and not sources):
        return record is not None
    return there.resolve() == folder.resolve()


def _options(choice: ModelChoice, reading: Reading) -> dict[str, str]:
    """What else decides the gates, by what people call it."""
    told = {
        "architecture": choice.architecture,
        "attention": choice.attention,
        "model": choice.factory,
        "model arguments": " ".join(f"{key}={value}" for key, value in choice.arguments),
        "input options": None if choice.input is None else json.dumps(asdict(choice.input)),
        "window": None if reading.window is None else json.dumps(reading.window),
    }
    return {key: value for key, value in told.items() if value}


@contextmanager
def _progress() -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(unit="checkpoint", disable=not sys.stderr.isatty(), leave=False) as bar:

        def total(count: int) -> None:
            bar.reset(count)

        def tick(_name: str) -> None:
            bar.update()

        yield tick, total


def _write(
    run: Run,
    numbers: Sequence[GateNumbers],
    found: Sequence[Finding],
    place: Path,
    figures: tuple[str, tuple[str, ...]] | None,
) -> list[Path]:
    """Tables and figures; what an earlier call wrote of the run is written anew."""
    from cbam_viz.runs.tables import NUMBERS, numbers_csv

    text = numbers_csv(numbers, run.record.unit)
    files = [write(place / NUMBERS, text.encode(), force=True)]
    told = "".join(f"{one.sentence}\n" for one in found)
    files.append(write(place / "findings.txt", told.encode(), force=True))
    if figures is not None:
        try:
            files += _figures(run, place, *figures)
        except ImportError as error:
            click.echo(
                f"No figures: {error.name} is not installed. Install it: pip install "
                '"cbam-viz[figures]".',
                err=True,
            )
    return files


def _figures(run: Run, place: Path, venue: str, names: tuple[str, ...]) -> list[Path]:
    """Curves by layer and the strip of maps, each with caption, numbers and manifest."""
    from cbam_viz.figures import FigureSpec, build
    from cbam_viz.figures.beside.bundle import EXTRAS, Sources, extra_files
    from cbam_viz.figures.beside.runs import run_source
    from cbam_viz.figures.content.watched import study_for

    spec = FigureSpec(venue=venue, layers=names)
    wanted = [(STEM_NUMBERS, spec.with_(layout="training"))]
    if run.maps:
        strip = spec.with_(layout="epochs", row_labels="name" if len(names) == 1 else "none")
        wanted.append((STEM_MAPS, strip))
    files = []
    for stem, asked in wanted:
        study = study_for(run, asked)
        try:
            built = build(asked, study)
        except CbamVizError as error:
            click.echo(f"No figure {stem}: {error}", err=True)
            continue
        rendered = {f"{stem}.pdf": built.render("pdf"), f"{stem}.png": built.render("png")}
        origin = Sources(
            (), (), command=("cbam-viz", *command_line()), run=run_source(run, study, place)
        )
        more = extra_files(built, stem, EXTRAS, origin, rendered=rendered)
        files += [write(place / n, data, force=True) for n, data in {**rendered, **more}.items()]
    return files


def _tell(
    run: Run,
    numbers: Sequence[GateNumbers],
    found: Sequence[Finding],
    watched: Watched | None,
    files: Sequence[Path],
) -> None:
    unit = run.record.unit
    photos = counted(len(run.record.probes), "probe photo")
    begin, end = run.numbers[0], run.numbers[-1]
    which = str(end) if begin == end else f"{begin} to {end}"
    say(
        f"{counted(len(run.numbers), unit)} of {run.record.model} on {photos}, {which}. "
        f"{run.record.order}"
    )
    if watched is not None:
        say(f"Measured now: {watched.done}; before: {watched.before}.")
    say(
        f"\nAt {run.called(run.numbers[-1])}; change is from the {unit} before, changed from the "
        "first, as root mean squared differences:"
    )
    head = ("layer", "gate", "mean", "spread", "saturated", "entropy", "within", "between", "fixed",
            "change", "changed")  # fmt: skip
    last = [one for one in numbers if one.number == run.numbers[-1]]
    first = {(o.layer, o.part): o.change_last for o in numbers if o.number == run.numbers[0]}
    rows = [
        (
            one.layer,
            "M_c" if one.part == "channel" else "M_s",
            *map(_digits, (one.mean, one.spread)),
            f"{one.saturated:.0%}",
            *map(_digits, (one.entropy,)),
            *("–" if share is None else f"{share:.0%}"
              for share in (one.within, one.between, one.fixed)),
            _digits(one.change_previous),
            _digits(first[one.layer, one.part]),
        )
        for one in last
    ]  # fmt: skip
    print_table(head, rows, right=" ".join(head[2:]))
    lasting = [one for one in found if one.lasts]
    past = [one for one in found if not one.lasts]
    for title, ones in (("Warnings", lasting), ("Passed", past)):
        if ones:
            say(f"\n{title}:")
            for one in ones:
                say(f"  {one.sentence}")
    if not lasting:
        say(f"\nNo gate is collapsed, saturated or constant at {run.called(run.numbers[-1])}.")
    if files:
        say(f"\nWrote {', '.join(one.name for one in files)} to {files[0].parent}.")


def _digits(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
