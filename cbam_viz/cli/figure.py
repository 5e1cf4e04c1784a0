"""`cbam-viz figure`: a figure for a paper, and what belongs beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz.cli.choice import ModelChoice, checkpoints_folder
from cbam_viz.cli.figure_files import files_wanted, write_figure
from cbam_viz.cli.figure_of_run import figure_of_run
from cbam_viz.cli.figure_options import Wishes, figure_options, spec_of
from cbam_viz.cli.files import refuse_existing, refuse_no_drawings, refuse_unwritable, write
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading, find_images, read_image
from cbam_viz.cli.network import find_checkpoint, open_network
from cbam_viz.cli.options import (
    dpi_option,
    force_option,
    json_option,
    networks_options,
    view_option,
)
from cbam_viz.cli.own_code import command_line
from cbam_viz.cli.summing import said_if_summed
from cbam_viz.cli.text import print_json, print_table, say

if TYPE_CHECKING:
    from cbam_viz.figures.beside.bundle import Sources
    from cbam_viz.figures.beside.manifest import Manifest, NetworkSource
    from cbam_viz.figures.remake import Remade
    from cbam_viz.images import Photo
    from cbam_viz.models import LoadedModel


KEPT = 16
"""So many photos are kept in memory whatever is made of them."""


def _list_venues(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from cbam_viz.figures import venues

    head = ("venue", "column", "text", "type", "for")
    rows = [
        (v.key, f"{v.column_width:.1f} pt", f"{v.text_width:.1f} pt", f"{v.size:g} pt", v.title)
        for v in venues().values()
    ]
    print_table(head, rows, right="column text type")
    ctx.exit()


@click.command(
    short_help="Make a figure for a paper.",
    epilog="\b\nExamples:\n"
    "  cbam-viz figure sample:cat -o cat.pdf\n"
    "  cbam-viz figure a.jpg b.jpg -o grid.pdf --columns input,map:-1,channels:-1,prediction\n"
    "  cbam-viz figure sample:cat -o depth.pdf --layout depth --venue neurips --with all\n"
    "  cbam-viz figure a.jpg -o cam.pdf --columns input,gradcam:layer4,gradcam:layer4@0,effect\n"
    "  cbam-viz figure --run runs/mine -o maps.pdf --layout epochs --layer -1\n"
    "  cbam-viz figure --from depth.manifest.json -o again.pdf\n"
    "  cbam-viz figure --list-venues",
)
@click.argument("sources", nargs=-1, metavar="[IMAGE|FOLDER|PATTERN]...")
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Ends in .pdf, .svg, .png or .tiff; may be repeated.",
)
@input_options
@networks_options
@click.option(
    "--compare",
    "others",
    multiple=True,
    metavar="FILE|NAME",
    help="Checkpoint of a further network, for columns such as map@2:-1; may be repeated.",
)
@view_option
@reading_options
@figure_options
@click.option(
    "--store",
    "stores",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="STORE",
    help="Make the figure of the photos of a store of cbam-viz batch instead of IMAGES; twice for "
    "--layout stores. The layout 'against' takes an image too.",
)
@click.option(
    "--run",
    metavar="RUN",
    help="Make the figure of a training that cbam-viz watch or log_gates measured instead of "
    "IMAGES: --layout training (the default here) or epochs. sample:shapes comes along.",
)
@click.option(
    "--epoch",
    "epochs",
    multiple=True,
    type=int,
    metavar="N",
    help="Of a run: epoch or step to show; may be repeated. [default: all; as maps 8 of them]",
)
@dpi_option
@click.option(
    "--with",
    "extras",
    multiple=True,
    type=click.Choice(["arrays", "numbers", "manifest", "latex", "all"]),
    help="Write beside the figure: its maps and weights (.npz), its numbers (.csv), what it takes "
    "to make it again (.manifest.json), a LaTeX snippet (.tex). May be repeated.",
)
@click.option(
    "--from",
    "manifest",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="MANIFEST",
    help="Make the figure of a manifest again; photos and checkpoints must be unchanged. Of the "
    "other options only --output, --model, --force and --json are heeded.",
)
@click.option(
    "--list-venues",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_venues,
    help="List venues with their widths, and exit.",
)
@force_option
@json_option
def figure(
    *,
    sources: tuple[str, ...],
    outputs: tuple[Path, ...],
    choices: tuple[ModelChoice, ...],
    others: tuple[str, ...],
    view: str,
    reading: Reading,
    wishes: Wishes,
    stores: tuple[Path, ...],
    run: str | None,
    epochs: tuple[int, ...],
    dpi: int,
    extras: tuple[str, ...],
    manifest: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a figure of IMAGES at the exact width of a column, with text that stays text.

    IMAGE is a file, a folder, a quoted pattern, or a photo that comes with the project
    (sample:cat). Without options: the input, the last map of each stage, and the prediction.
    """
    refuse_no_drawings(outputs)
    if manifest is not None:
        if sources or stores or run is not None:
            raise click.UsageError("--from names images, stores and runs already; leave them out.")
        _again(manifest, outputs, choices, force=force, as_json=as_json)
        return
    if not sources and not stores and run is None:
        raise click.UsageError(
            "Name at least one image, such as sample:cat, or a --store or a --run."
        )
    if not outputs:
        raise click.UsageError("Say where the figure goes: -o figure.pdf.")
    if run is not None:
        if sources or stores or others:
            raise click.UsageError(
                "The figure of a run shows its own probe photos and epochs: leave images, --store "
                "and --compare out."
            )
        made = figure_of_run(run, epochs, wishes, outputs, extras=extras, dpi=dpi, force=force)
        _report(*made, as_json=as_json, font=True)
        return
    if epochs:
        raise click.UsageError("--epoch is of a --run.")
    _make(
        sources, outputs,
        choices=[*choices, *(ModelChoice(checkpoint=other) for other in others)],
        view=view, reading=reading, wishes=wishes, stores=stores, dpi=dpi, extras=extras,
        force=force, as_json=as_json,
    )  # fmt: skip


def _make(
    sources: Sequence[str],
    outputs: Sequence[Path],
    *,
    choices: Sequence[ModelChoice],
    view: str,
    reading: Reading,
    wishes: Wishes,
    stores: Sequence[Path],
    dpi: int,
    extras: Sequence[str],
    force: bool,
    as_json: bool,
) -> None:
    """Draw and write a new figure."""
    from cbam_viz.figures.beside.stores import store_sources
    from cbam_viz.figures.content.study import averages
    from cbam_viz.figures.make import check

    wanted, stem = files_wanted(outputs, extras, force=force)
    paths = find_images(sources) if sources else []
    spec = spec_of(wishes, paths, store=bool(stores))
    check(spec, len(paths), stores=len(stores))
    networks: list[LoadedModel] = []
    photos: list[Photo] = []
    supply: Iterable[Photo] = ()
    if sources:
        networks, choices = _opened(_with_twin(choices, wishes.preset), view)
        photos, supply = _photos(paths, reading, networks[0], averaged=averages(spec))
        check(spec, photos, stores=len(stores))
    else:
        choices = []
    if stores:
        built = _draw_of_stores(spec, stores, networks, photos, view)
    else:
        built = _draw(spec, networks, supply, len(paths), view)
        _say_who_groups(built)
    origin = _sources(choices, networks, paths, photos, stem.parent)
    origin = replace(origin, stores=store_sources(built, stem.parent))
    written = write_figure(built, outputs, wanted, origin, dpi=dpi, force=force)
    _report(built, written, as_json=as_json, font=True)


def _say_who_groups(built: Any) -> None:
    """Say that classes were asked for which a network that finds objects does not predict."""
    from cbam_viz.figures.content.classes import TOGETHER

    if getattr(built.content, "whose", "") == TOGETHER:
        click.echo(f"{TOGETHER}. Say theirs: --group-by folder, or a file of them.", err=True)


def _with_twin(choices: Sequence[ModelChoice], preset: str | None) -> Sequence[ModelChoice]:
    """The networks of a preset that takes two: beside one, the one that was made to be compared."""
    from cbam_viz.figures.ask.presets import PRESETS
    from cbam_viz.models.metadata import list_checkpoints, twin_of

    if preset is None or not PRESETS[preset].pair or len(choices) != 1:
        return choices
    (choice,) = choices
    path = None if choice.factory is not None else find_checkpoint(choice)
    twin = None if path is None else twin_of(path, list_checkpoints(checkpoints_folder()))
    if twin is None:
        raise click.UsageError(
            f"--preset {preset} takes two networks, and none is known that belongs to this one: "
            "name it with --compare."
        )
    return [choice, ModelChoice(checkpoint=str(twin.path))]


def _opened(
    choices: Sequence[ModelChoice], view: Any
) -> tuple[list[LoadedModel], list[ModelChoice]]:
    """The networks and how they were opened; on standard error what each is fed.

    Those beside the first may have no attention. Equal choices are one network.
    """
    from cbam_viz.errors import PlainCheckpointError

    opened: dict[ModelChoice, tuple[LoadedModel, ModelChoice]] = {}
    for choice in choices:
        if choice in opened:
            continue
        quiet = bool(opened) and not choice.factory
        try:
            opened[choice] = open_network(choice, quiet=quiet), choice
        except PlainCheckpointError:
            if not opened:
                raise
            plain = replace(choice, attention="none")
            opened[choice] = open_network(plain, quiet=True), plain
    for choice in choices:
        network = opened[choice][0]
        click.echo(f"{network.name}: {network.fed(view, hint=True)}", err=True)
    return [opened[choice][0] for choice in choices], [opened[choice][1] for choice in choices]


def _photos(
    paths: Sequence[Path], reading: Reading, network: LoadedModel, *, averaged: bool
) -> tuple[list[Photo], Iterable[Photo]]:
    """All photos, and what gives them to the networks one by one.

    All are read before the first is analysed, so that nobody waits for an error. Many that are only
    averaged are not kept but read again, each in its turn.
    """
    from cbam_viz.figures.content.study import without_pixels

    if not averaged or len(paths) <= KEPT:
        photos = [read_image(path, reading, network) for path in paths]
        return photos, photos
    known = [without_pixels(read_image(path, reading, network)) for path in paths]
    return known, (reading.photo(path, network) for path in paths)


def _draw(
    spec: Any, networks: Sequence[LoadedModel], photos: Iterable[Photo], count: int, view: Any
) -> Any:
    from cbam_viz.figures import build
    from cbam_viz.figures.content.study import study

    with _progress(count * len(networks)) as tick:
        analyses = study(spec, networks, photos, view, tick=tick)
    return build(spec, analyses)


def _draw_of_stores(
    spec: Any,
    stores: Sequence[Path],
    networks: Sequence[LoadedModel],
    photos: Sequence[Photo],
    view: Any,
) -> Any:
    """The figure of stores, with a photo beside them where there is one."""
    from cbam_viz.dataset import open_store
    from cbam_viz.figures import build, study_beside

    opened = [open_store(path) for path in stores]
    with said_if_summed(stores[0]):
        return build(spec, study_beside(opened, networks, photos, view))


def _again(
    path: Path,
    outputs: Sequence[Path],
    choices: Sequence[ModelChoice],
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Make a manifest's figure again and say whether it is the same."""
    from cbam_viz.figures.beside.manifest import read_manifest
    from cbam_viz.figures.remake import remake

    manifest = read_manifest(path)
    targets = _targets(manifest, path.parent, outputs)
    refuse_existing(targets.values(), force)
    refuse_unwritable(targets.values())

    def opened(source: NetworkSource, checkpoint: Path | None) -> LoadedModel:
        return open_network(_choice_of(source, checkpoint, choices), quiet=True)

    with _progress(len(manifest.photos) * len(manifest.networks)) as tick:
        remade = remake(
            manifest, path.parent, open_network=opened, search=(checkpoints_folder(),),
            tick=tick,
        )  # fmt: skip
    written = [write(target, remade.files[name], force=force) for name, target in targets.items()]
    for sentence in remade.differences:
        click.echo(f"Warning: {sentence}", err=True)
    _report(remade.built, written, as_json=as_json, remade=remade)


def _targets(manifest: Manifest, folder: Path, outputs: Sequence[Path]) -> dict[str, Path]:
    """Files to write, by their names in the manifest.

    Raises:
        click.UsageError: an output in a format that the manifest has no file of.
    """
    from cbam_viz.figures.ask.formats import format_of
    from cbam_viz.figures.remake import pictures

    names = pictures(manifest)
    if not outputs:
        return {name: folder / name for name in names}
    made = {format_of(name): name for name in names}
    targets: dict[str, Path] = {}
    for output in outputs:
        name = made.get(format_of(output.name))
        if name is None:
            raise click.UsageError(
                f"The manifest describes {', '.join(names) or 'no picture'}, and nothing that "
                f"ends in {output.suffix}."
            )
        if name in targets:
            raise click.UsageError(f"{targets[name]} and {output} would be the same file, {name}.")
        targets[name] = output
    return targets


def _choice_of(
    source: NetworkSource, checkpoint: Path | None, own: Sequence[ModelChoice]
) -> ModelChoice:
    """The options that open a network of a manifest; code runs only if the user names it again."""
    from cbam_viz.errors import FigureError

    if source.factory not in (None, *(one.factory for one in own)):
        raise FigureError(
            f"The network {source.name} was made by --model {source.factory}. If you trust that "
            "code, name it again."
        )
    return ModelChoice(
        checkpoint=None if checkpoint is None else str(checkpoint),
        architecture=source.architecture,
        attention=source.attention,
        num_classes=source.num_classes,
        factory=source.factory,
        arguments=source.arguments,
        input=source.input,
        classes=source.classes,
        allow_missing_attention=source.allow_missing_attention,
    )


def _sources(
    choices: Sequence[ModelChoice],
    networks: Sequence[LoadedModel],
    paths: Sequence[Path],
    photos: Sequence[Any],
    folder: Path,
) -> Sources:
    from cbam_viz.figures.beside.bundle import Sources
    from cbam_viz.figures.beside.manifest import network_source, photo_source

    described = []
    for choice, network in zip(choices, networks, strict=True):
        options = {field.name: getattr(choice, field.name) for field in fields(choice)}
        options.pop("checkpoint")
        named = choice.factory is None or choice.checkpoint is not None
        path = find_checkpoint(choice) if named else None
        described.append(network_source(network, path, folder, **options))
    return Sources(
        tuple(photo_source(photo, path, folder) for photo, path in zip(photos, paths, strict=True)),
        tuple(described),
        tuple(networks),
        ("cbam-viz", *command_line()),
    )


@contextmanager
def _progress(count: int) -> Iterator[Any]:
    """A bar on standard error where there is more than a moment to wait."""
    from tqdm import tqdm

    hidden = count < 4 or not sys.stderr.isatty()
    with tqdm(total=count, unit="photo", disable=hidden, leave=False) as bar:
        yield bar.update


def _report(
    built: Any,
    written: Sequence[Path],
    *,
    as_json: bool,
    font: bool = False,
    remade: Remade | None = None,
) -> None:
    """Say what was written, how large it prints, and in which type."""
    from cbam_viz.figures.beside.caption import caption

    width, height = (float(side) * 72 for side in built.figure.get_size_inches())
    for note in built.notes:
        click.echo(f"Warning: {note}", err=True)
    if as_json:
        result: dict[str, Any] = {
            "files": [str(path) for path in written],
            "width_pt": width,
            "height_pt": height,
            "font": built.spec.font,
            "caption": caption(built),
            "notes": list(built.notes),
        }
        if remade is not None:
            result["identical"] = not remade.differences
        print_json(result)
        return
    for path in written:
        say(f"Wrote {path}.")
    set_in = f", set in {built.spec.font}" if font else ""
    say(f"{width:.1f} × {height:.1f} points{set_in}.")
    if remade is not None and not remade.differences:
        say("Byte for byte the same as the manifest says.")
