"""`cbam-viz stats`: what the photos of a store together say of a network's gates."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz._text import counted
from cbam_viz.cli.files import make_folder, refuse_existing, refuse_unwritable, write
from cbam_viz.cli.options import force_option, json_option
from cbam_viz.cli.summing import said_if_summed
from cbam_viz.cli.text import print_json, print_table, say
from cbam_viz.errors import StoreError
from cbam_viz.layer_names import find_name, no_such_layer

if TYPE_CHECKING:
    from cbam_viz.dataset import GateSummary, Store

SHOWN = 10


@click.command(
    short_help="Numbers of all photos in a store, by layer and class.",
    epilog="\b\nExamples:\n"
    "  cbam-viz stats stores/photos\n"
    "  cbam-viz stats stores/photos --layer layer4.1.se\n"
    "  cbam-viz stats stores/photos --csv gates.csv\n"
    "  cbam-viz stats stores/before --against stores/after\n"
    "  cbam-viz stats stores/photos --export atlas.parquet",
)
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--layer",
    "-l",
    "name",
    metavar="NAME",
    help="One layer, by name or place (0, -1): by class, its most selective channels, and the "
    "most unusual photos.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the numbers of every layer and class; with --against, what changed.",
)
@click.option(
    "--against",
    "other",
    type=click.Path(path_type=Path),
    metavar="STORE",
    help="Another store: what changed in it, by layer.",
)
@click.option(
    "--export",
    "atlas",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a Parquet file for embedding-atlas: channel weights as vectors (of --layer, or of "
    "all), thumbnails of photos that are still there, labels and predictions.",
)
@click.option("--no-thumbnails", is_flag=True, help="Leave thumbnails out of --export.")
@force_option
@json_option
def stats(
    *,
    store: Path,
    name: str | None,
    table: Path | None,
    other: Path | None,
    atlas: Path | None,
    no_thumbnails: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Print what the photos of a store, which 'batch' made, say of a network's gates.

    mean, spread (over channels, or over the map), saturated (below 0.05 or above 0.95) and entropy
    (1 where all are alike) are means over photos; cells of a map count by their area on the photo.
    The last three columns share out the gate's variance: 'pattern' is the same for all photos (100
    % is a constant), 'classes' is between classes, 'photos' between photos of a class; of one
    photo nothing is known of them.
    """
    from cbam_viz.batch.record import ONE_SIZE
    from cbam_viz.dataset import open_store
    from cbam_viz.dataset.gates import summaries_of
    from cbam_viz.dataset.telling import without_entropy

    if table is not None:
        refuse_existing([table], force)
    if atlas is not None and (table is not None or other is not None):
        raise click.UsageError("--export is done alone; leave out --csv and --against.")
    if no_thumbnails and atlas is None:
        raise click.UsageError("--no-thumbnails is of --export.")
    if atlas is not None and atlas.suffix.lower() != ".parquet":
        raise click.UsageError(f"--export writes a Parquet file: call it {atlas.stem}.parquet.")
    opened = open_store(store)
    name = None if name is None else _layer(opened, name)
    if atlas is not None:
        _export(opened, atlas, name, thumbnails=not no_thumbnails, force=force, as_json=as_json)
        return
    click.get_current_context().with_resource(said_if_summed(store))
    if other is not None:
        _compare(opened, open_store(other), name, table, force=force, as_json=as_json)
        return
    gates = [gate for gate in opened.summable if name in (None, gate[0])]
    varying = opened.record.layout.varying
    summaries, notes = summaries_of(opened, gates, slim=name is None)
    notes += without_entropy(summaries)
    if table is not None:
        write(table, _csv(summaries).encode(), force=force)
    if as_json:
        print_json({**_json(opened, summaries, name), "notes": notes})
        return
    if varying:
        click.echo(
            "Maps differ in size from photo to photo; channel weights alone follow. In a store "
            f"made anew, {ONE_SIZE}.",
            err=True,
        )
    missing = opened.record.shards - len(opened.files)
    if missing:
        are = "is" if missing == 1 else "are"
        told = f"{missing} of the store's {opened.record.shards} parts {are} missing: "
        click.echo(f"{told}run the same cbam-viz batch again to complete it.", err=True)
    for note in notes:
        click.echo(note, err=True)
    photos, classes = opened.photos.num_rows, len(opened.classes)
    say(f"{counted(photos, 'photo')} of {counted(classes, 'class', 'classes')} in {store}.\n")
    _print_gates(summaries)
    if name is not None:
        _print_classes(summaries)
        _print_channels(opened, [one for one in summaries if one.part == "channel"])


def _layer(store: Store, wanted: str) -> str:
    """The layer of a store by its name or place. Raises StoreError."""
    found = find_name(store.named, wanted)
    if found is None:
        raise StoreError(no_such_layer(list(store.named), wanted))
    return found


def _export(
    store: Store, path: Path, name: str | None, *, thumbnails: bool, force: bool, as_json: bool
) -> None:
    """Write the file for embedding-atlas, and say what opens it."""
    from tqdm import tqdm

    from cbam_viz.dataset.atlas import LEAST, command, export_atlas

    refuse_existing([path], force)
    refuse_unwritable([path])
    make_folder(path.parent)
    layers = [] if name is None else [name]
    hidden = not sys.stderr.isatty()
    with tqdm(total=store.photos.num_rows, unit="photo", disable=hidden, leave=False) as bar:
        vectors = export_atlas(
            store, path, layers, thumbnails=thumbnails, force=force, tick=bar.update
        )
    opens = command(path, vectors, thumbnails=thumbnails)
    if as_json:
        print_json(
            {"file": str(path), "vectors": list(vectors), "without": vectors, "command": opens}
        )
        return
    say(f"Wrote {path}. Open it (pip install embedding-atlas):\n  {opens}")
    vector, without = list(vectors.items())[-1]
    if store.photos.num_rows - without < LEAST:
        say(f"It projects vectors of {LEAST} photos or more, by UMAP, and shows none of fewer.")
    if without:
        photos = counted(store.photos.num_rows, "photo")
        say(f"{without:,} of {photos} have no finite {vector} and are left out of the map.")


def _print_gates(summaries: Sequence[GateSummary]) -> None:
    head = (
        "layer",
        "gate",
        "mean",
        "spread",
        "saturated",
        "entropy",
        "pattern",
        "classes",
        "photos",
    )
    rows = [
        (
            one.layer,
            one.part,
            *(f"{one.numbers[key]:.3f}" for key in ("mean", "spread")),
            f"{one.numbers['saturated']:.1%}",
            _number(one.numbers["entropy"]),
            *(_per_cent(one.shares[key]) for key in ("pattern", "classes", "photos")),
        )
        for one in summaries
    ]
    print_table(head, rows, right=" ".join(head[2:]))


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _per_cent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.1%}"


def _print_classes(summaries: Sequence[GateSummary]) -> None:
    for one in summaries:
        if not one.classes:
            continue
        say(f"\n{one.part} by class:")
        rows = [
            (
                label,
                str(one.count[n]),
                *(f"{one.class_numbers[key][n]:.3f}" for key in ("mean", "spread")),
                _number(one.class_numbers["entropy"][n]),
            )
            for n, label in enumerate(one.classes)
        ]
        print_table(("class", "n", "mean", "spread", "entropy"), rows, "n mean spread entropy")


def _print_channels(store: Store, summaries: Sequence[GateSummary]) -> None:
    from cbam_viz.dataset import selectivity, unusual

    for one in summaries:
        if len(one.classes) > 1:
            chosen = selectivity(one)
            say("\nMost selective channels (Morcos and others, 2018):")
            rows = [
                (str(c), _number(chosen.index[c]), one.classes[chosen.best[c]])
                for c in chosen.order[:SHOWN]
            ]
            print_table(("channel", "index", "highest for"), rows, "channel index")
            if chosen.note:
                say(chosen.note)
        say("\nMost unusual photos (root mean square of z-scores over channels):")
        rows = [
            (f"{photo.value:.2f}", photo.label or "–", photo.name)
            for photo in unusual(store, one.layer, SHOWN)
        ]
        print_table(("z", "class", "photo"), rows, "z")


def _compare(
    one: Store, other: Store, name: str | None, table: Path | None, *, force: bool, as_json: bool
) -> None:
    """Print what changed, of one layer or of all, and write it to a table."""
    from dataclasses import asdict

    from cbam_viz.cli.changes import changes_csv, not_compared, print_changes
    from cbam_viz.dataset import compare_stores

    every = compare_stores(one, other)
    changes = [change for change in every if name in (None, change.layer)]
    if not changes:
        raise StoreError(f"{one.path} and {other.path} have no gates of one shape at {name}.")
    if table is not None:
        write(table, changes_csv(changes).encode(), force=force)
    for note in not_compared(one, other, every):
        click.echo(note, err=True)
    if as_json:
        print_json([asdict(change) for change in changes])
    else:
        print_changes(changes)


def _json(store: Store, summaries: Sequence[GateSummary], name: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    from cbam_viz.dataset import selectivity, unusual
    from cbam_viz.dataset.gates import as_json

    told: dict[str, Any] = {
        "store": str(store.path),
        "photos": store.photos.num_rows,
        "complete": len(store.files) == store.record.shards,
        "classes": list(store.classes),
        "gates": [as_json(one) for one in summaries],
    }
    if name is not None:
        for one in summaries:
            if one.part == "channel" and len(one.classes) > 1:
                chosen = selectivity(one)
                told["selectivity"] = {
                    "index": chosen.index.tolist(),  # null where there is none
                    "highest_for": [one.classes[n] for n in chosen.best],
                }
            if one.part == "channel":
                told["unusual"] = [asdict(photo) for photo in unusual(store, name, SHOWN)]
    return told


def _csv(summaries: Sequence[GateSummary]) -> str:
    """Every layer, gate and class, and all photos together, a line each."""
    from cbam_viz.dataset.numbers import NUMBERS

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    shares = ("pattern", "classes", "photos")
    writer.writerow(
        ("layer", "gate", "class", "count", *NUMBERS, *(f"variance_{one}" for one in shares))
    )
    for one in summaries:
        whole = (*(one.numbers[key] for key in NUMBERS), *(one.shares[key] for key in shares))
        writer.writerow((one.layer, one.part, "", one.photos, *whole))
        for n, label in enumerate(one.classes):
            numbers = (one.class_numbers[key][n] for key in NUMBERS)
            writer.writerow((one.layer, one.part, label, one.count[n], *numbers, "", "", ""))
    return text.getvalue()
