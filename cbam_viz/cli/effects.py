"""`cbam-viz effects`: what each gate does to the predictions on a folder of photos."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz._text import said
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.files import refuse_existing, refuse_unwritable, write
from cbam_viz.cli.gateless import of_a_photo
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_images
from cbam_viz.cli.labels import FOLDERS, Labels
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import force_option, json_option, model_options, seed_option, view_option
from cbam_viz.cli.scored import BOX, Wanted
from cbam_viz.cli.text import print_json, print_table, say
from cbam_viz.errors import CbamVizError, MetricError, ModelError, NoAttentionError

if TYPE_CHECKING:
    from torch import Tensor

    from cbam_viz.ablation import Effects
    from cbam_viz.ablation.measuring import Measuring
    from cbam_viz.ablation.results import Effect
    from cbam_viz.images import View
    from cbam_viz.models import LoadedModel

SOME_FAILED = 1
BY = ("one", "zero", "mean", "shuffled", "dataset_mean")
ENDINGS = (".csv", ".json", ".tex")


def _by(context: click.Context, parameter: click.Parameter, value: str) -> str | float:
    if value in BY:
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.BadParameter(f"{value!r} is none of {', '.join(BY)} and no finite number.")
    return number


@click.command(
    short_help="Measure what each gate does to the predictions.",
    epilog="\b\nExamples:\n"
    "  cbam-viz effects photos/\n"
    "  cbam-viz effects photos/ --labels folders -o effects.csv -o effects.tex\n"
    "  cbam-viz effects photos/ --by dataset_mean --layer 'layer4.*' --json\n"
    "  cbam-viz effects street.jpg --checkpoint detector.pt --target box2",
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE|FOLDER|PATTERN...")
@click.option(
    "--labels",
    metavar=f"FILE|{FOLDERS}",
    help="True classes: a CSV with a file name and a class in each row, a JSON object of these, or "
    f"'{FOLDERS}' for the names of the folders that the photos lie in. With them, accuracy is "
    "measured; else how often the network still says what it said.",
)
@click.option(
    "--by",
    callback=_by,
    default="one",
    show_default=True,
    metavar="WORD|NUMBER",
    help=f"What replaces a gate: {', '.join(BY)}, or a number. one takes it away; mean is its own, "
    "dataset_mean that over these photos.",
)
@click.option(
    "--layer",
    "-l",
    "layers",
    default="*",
    metavar="NAME",
    help="A layer, a stage (layer3) or a pattern (layer3.*). [default: all]",
)
@click.option(
    "--unit",
    "units",
    multiple=True,
    type=click.Choice(["gate", "stage", "all"]),
    default=("gate", "all"),
    show_default=True,
    help="What is replaced together. May be repeated.",
)
@click.option(
    "--score",
    "scores",
    multiple=True,
    type=click.Choice(["accuracy", "agreement", "probability", "logit", "loss", BOX]),
    help=f"May be repeated; {BOX} is that of a detector's box. [default: accuracy or agreement, "
    f"and probability; {BOX} of a detector]",
)
@click.option(
    "--target",
    metavar="CLASS|boxN",
    help="What the score is of, on all photos: a class by name or number, or a detector's box, or "
    "of a class its highest. [default: the label, or what the network predicts, or the box of the "
    "highest score]",
)
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the table as .csv, .json or .tex (LaTeX, booktabs). May be repeated.",
)
@seed_option("Of shuffling and of the intervals.")
@input_options
@model_options
@view_option
@reading_options
@force_option
@json_option
def effects(
    *,
    sources: tuple[str, ...],
    labels: str | None,
    by: str | float,
    layers: str,
    units: tuple[str, ...],
    scores: tuple[str, ...],
    target: str | None,
    outputs: tuple[Path, ...],
    seed: int,
    choice: ModelChoice,
    view: View,
    reading: Reading,
    force: bool,
    as_json: bool,
) -> int:
    """Replace each gate in turn, and all at once, and measure what that does to the predictions.

    Channel weights and maps are replaced apart. Photos that cannot be measured are named on
    standard error and skipped; the exit status is then 1.
    """
    for output in outputs:
        if output.suffix.lower() not in ENDINGS:
            raise click.UsageError(f"{output} must end in one of {', '.join(ENDINGS)}.")
    refuse_existing(outputs, force)
    refuse_unwritable(outputs)
    images = find_images(sources)
    known = None if labels is None else Labels(labels, images)
    if "accuracy" in scores and known is None:
        raise click.UsageError("Accuracy needs the photos' true classes: give --labels.")
    if known is not None and target is not None:
        raise click.UsageError("Labels say what the score is of: give --labels or --target.")
    loaded = open_network(choice, view=view)
    photos = _Photos(images, known, loaded, view, reading)
    wanted = Wanted(scores, target, labelled=known is not None)
    found = _measured(photos, wanted, by, layers, units=units, seed=seed)
    if found is None:
        raise photos.error or MetricError("No photo could be measured.")
    _write(found, outputs, force)
    _tell(found, wanted, outputs, photos, as_json)
    return SOME_FAILED if photos.skipped else 0


class _Photos:
    """The photos as the network's inputs, one by one; those that fail are told and left out."""

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Labels | None,
        loaded: LoadedModel,
        view: View,
        reading: Reading,
    ) -> None:
        self.loaded = loaded
        self.paths, self.skipped = list(paths), dict[Path, str]()
        self.error: CbamVizError | None = None
        self._labels, self._view, self._reading = labels, view, reading

    def __iter__(self) -> Iterator[tuple[Path, Tensor, int | None]]:
        from cbam_viz.models.feed import as_weights, input_of

        for path in self.paths:
            if path in self.skipped:
                continue
            try:
                label = None
                if self._labels is not None:
                    label = self._labels.of(path, self.loaded.classes)
                photo = self._reading.photo(path, self.loaded)
                made = input_of(self.loaded, photo, self._view).tensor
            except (CbamVizError, MemoryError) as error:
                self.skip([path], error)
                continue
            yield path, as_weights(self.loaded.model, [made])[0], label

    def skip(self, paths: Sequence[Path], error: Exception) -> None:
        """Leave photos out, and say why."""
        from tqdm import tqdm

        text = of_a_photo(error) or "There was not enough memory for it."
        for path in paths:
            self.skipped[path] = text
            tqdm.write(f"Skipped {path}: {text}", file=sys.stderr)
        if isinstance(error, CbamVizError):
            self.error = error


def _measured(
    photos: _Photos,
    wanted: Wanted,
    by: str | float,
    layers: str,
    *,
    units: Sequence[str],
    seed: int,
) -> Effects | None:
    from tqdm import tqdm

    from cbam_viz.ablation import Shuffled, gate_means
    from cbam_viz.ablation.measuring import Measuring

    wish: Any = Shuffled(seed=seed) if by == "shuffled" else by
    if by == "dataset_mean":
        wish = gate_means(photos.loaded.model, (x for _, x, _ in photos))
    measuring: Measuring | None = None
    with tqdm(total=len(photos.paths), unit="photo", disable=not sys.stderr.isatty()) as bar:
        for path, x, label in photos:
            if measuring is None:
                try:
                    scores = wanted.scores_for(photos.loaded, x)
                except ModelError as error:
                    photos.skip([path], error)
                    continue
                measuring = Measuring(
                    photos.loaded.model,
                    scores,
                    by=wish,
                    layers=layers,
                    units=units,  # type: ignore[arg-type]
                )
            try:
                target = wanted.look(path, x, label)
            except CbamVizError as error:
                photos.skip([path], error)
            else:
                _add(measuring, photos, path, x, target)
            bar.update(measuring.done + len(photos.skipped) - bar.n)
        while measuring is not None and measuring.waits:
            _go_on(measuring, photos)
    if measuring is None or not measuring.done:
        return None
    return measuring.result(seed=seed)


def _add(measuring: Measuring, photos: _Photos, path: Path, x: Tensor, label: int | None) -> None:
    try:
        measuring.add(x, str(path), label)
    except NoAttentionError:
        raise
    except (CbamVizError, MemoryError, RuntimeError) as error:
        _lost(measuring, photos, error)


def _go_on(measuring: Measuring, photos: _Photos) -> None:
    try:
        measuring.flush()
    except (CbamVizError, MemoryError, RuntimeError) as error:
        _lost(measuring, photos, error)


def _lost(measuring: Measuring, photos: _Photos, error: Exception) -> None:
    """Leave out the photos that were in the forward that failed; raise what no other one mends."""
    from cbam_viz.errors import CaptureError

    if isinstance(error, CaptureError) and not measuring.done:
        raise error
    if not isinstance(error, (CbamVizError, MemoryError)):
        error = ModelError(f"{photos.loaded.name} fails on it: {said(error)}.")
    if not measuring.done:
        photos.error = error if isinstance(error, CbamVizError) else None
    photos.skip([Path(name) for name in measuring.lost], error)


def _write(found: Effects, outputs: Sequence[Path], force: bool) -> None:
    import json

    from cbam_viz.ablation.tables import as_json, csv_text, latex_text

    for output in outputs:
        ending = output.suffix.lower()
        if ending == ".csv":
            text = csv_text(found)
        elif ending == ".tex":
            text = "\n".join(latex_text(found, score) for score in found.scores)
        else:
            text = json.dumps(as_json(found), indent=2, ensure_ascii=False) + "\n"
        write(output, text.encode(), force=force)


def _tell(
    found: Effects, wanted: Wanted, outputs: Sequence[Path], photos: _Photos, as_json: bool
) -> None:
    from cbam_viz.ablation.tables import as_json as described

    if as_json:
        skipped = [{"source": str(p), "error": why} for p, why in photos.skipped.items()]
        files = [str(output) for output in outputs]
        print_json({**described(found), **wanted.described, "skipped": skipped, "files": files})
        return
    head = ("gates", *(title for score in found.scores for title in (score, "change", "interval")))
    rows: dict[str, list[str]] = {}
    for row in found.rows:
        rows.setdefault(row.gates, [row.gates]).extend(_cells(row))
    print_table(head, list(rows.values()))
    count = len(found.photos)
    say(
        f"\nGates replaced by {found.replaced_by}, on {count} photo{'' if count == 1 else 's'}; "
        f"{found.level * 100:g} % intervals by the bootstrap over photos, seed {found.seed}."
    )
    told = (wanted.sentence, *(found.sentence(score) for score in found.scores), *found.skipped)
    for sentence in told:
        if sentence:
            say(sentence)
    if found.whole:
        click.echo(f"The whole network ran for each gate, as it {found.whole}.", err=True)
    for output in outputs:
        say(f"Wrote {output}.")


def _cells(row: Effect) -> list[str]:
    from cbam_viz.ablation.results import change_text, interval_text, number_text

    after = number_text(row.score, float(row.after.mean()))
    return [after, change_text(row.score, row.mean), interval_text(row)]
