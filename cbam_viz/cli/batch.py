"""`cbam-viz batch`: the gates of many photos in one store that others can read."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz._numbers import file_size
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.files import refuse_unwritable
from cbam_viz.cli.input_options import input_options, reading_options
from cbam_viz.cli.inputs import Reading
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import json_option, model_options, view_option
from cbam_viz.cli.progress import Progress
from cbam_viz.cli.text import print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from cbam_viz.batch.run import Engine, Summary
    from cbam_viz.batch.settings import Part
    from cbam_viz.images import View
    from cbam_viz.models import LoadedModel

SOME_FAILED = 1
FAST = ("compile", "channels_last", "fuse", "bf16", "draft")
"""The ways of `cbam_viz.batch.fast`, said without importing torch."""
PRECISIONS = ("float16", "float32", "int16")
"""Those of `cbam_viz.store.precision`, said without importing NumPy."""


def _part(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """`3/16` as numbers; without it, what torchrun says."""
    if value is None:
        rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
        if rank is None or size is None or not (rank.isdigit() and size.isdigit()):
            return None
        value = f"{int(rank) + 1}/{size}"
    match = re.fullmatch(r"(\d+)/(\d+)", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise click.BadParameter(
            f"{value!r} is no part such as 3/16: the third of sixteen, from 1/16 to 16/16."
        )
    return int(match[1]), int(match[2])


@click.command(
    short_help="Capture the gates of a folder or a data set into one store.",
    epilog="\b\nExamples:\n"
    "  cbam-viz batch photos/ --out stores/photos\n"
    "  cbam-viz batch 'imagenet/val-{000..127}.tar' --out stores/val --fast compile\n"
    "  cbam-viz batch train.parquet --out stores/train --shard 3/16\n"
    "  cbam-viz batch photos/ --out stores/photos --labels labels.csv --dtype float32",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--out",
    "--output",
    "-o",
    "out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="STORE",
    help="Folder of the store; made if it is not there. If it holds what an earlier run with the "
    "same options has begun, the rest is done.",
)
@click.option(
    "--labels",
    default="auto",
    show_default=True,
    metavar="auto|folder|none|FILE.csv",
    help="Classes of the photos: the source's own (a tar's .cls or .json, a table's column), else "
    "the folder that they lie in; folders alone; none; or a CSV file of file and label.",
)
@click.option("--image-column", metavar="NAME", help="Of tables. [default: the one of images]")
@click.option("--label-column", metavar="NAME", help="Of tables. [default: one named label, ...]")
@click.option(
    "--dtype",
    "precision",
    type=click.Choice(PRECISIONS),
    default="float16",
    show_default=True,
    help="Precision of gates in the store. float16 takes less than half the room of float32; a "
    "gate changes by 2.5e-4 at most. int16, in steps of 1/2048, takes a tenth less again.",
)
@input_options
@model_options
@view_option
@reading_options
@click.option(
    "--batch-size",
    "batch_size",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Photos in one forward. [default: 16, or 8 where inputs have more than 320 x 320 pixels "
    "or vary in size; with a GPU 64]",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Processes of one thread each; with --engine ray, tasks at a time. [default: one for each "
    "core; one with a GPU]",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    metavar="N",
    help="Threads that read photos ahead, in each process. [default: 0; with a GPU one for each "
    "core]",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="[default: the GPU if there is one]",
)
@click.option(
    "--fast",
    multiple=True,
    type=click.Choice(FAST),
    help="Compute faster, or with draft decode large JPEGs at a part of their size; may be "
    "repeated. Checked on the first photos against the exact path, and refused with the figure if "
    "gates differ by more than 1e-5 (bf16 and draft: 0.03).",
)
@click.option(
    "--shard",
    "part",
    callback=_part,
    metavar="I/N",
    help="Do the I-th of N parts alone, for N machines that share a store, or whose stores' gates "
    "folders are put together afterwards. [default: RANK and WORLD_SIZE if set, else all]",
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="What runs the shards: processes of this machine, or tasks on a Ray cluster whose "
    "machines see photos, checkpoint and store under the same paths. The store is the same, bit "
    "for bit.",
)
@click.option(
    "--ray-address",
    "ray_address",
    metavar="ADDRESS",
    help="Of the cluster, such as 10.0.0.1:6379 or auto. [default: RAY_ADDRESS if set, else a "
    "cluster of this machine alone]",
)
@click.option(
    "--retry", is_flag=True, help="Take the shards again in which photos could not be read."
)
@json_option
def batch(
    *,
    sources: tuple[str, ...],
    out: Path,
    labels: str,
    image_column: str | None,
    label_column: str | None,
    precision: Any,
    choice: ModelChoice,
    view: View,
    reading: Reading,
    batch_size: int | None,
    workers: int | None,
    threads: int | None,
    device: str | None,
    fast: tuple[str, ...],
    part: tuple[int, int] | None,
    engine: Engine,
    ray_address: str | None,
    retry: bool,
    as_json: bool,
) -> int:
    """Capture every layer of every photo into one store of Parquet files.

    A SOURCE is an image, a folder, a pattern in quotes, a list of files (.txt, a line each), a tar
    archive as of WebDataset, a Parquet or Arrow file with a column of images, or a Hugging Face
    dataset on disk.

    The run may be stopped at any moment, also by a crash: the same command goes on, and the store
    is the same in the end. Photos that cannot be read are named on standard error and in
    failed.csv; the exit status is then 1, and 0 in processes of torchrun, which would end the
    others.
    """
    from cbam_viz.batch.machine import cores, keep_memory

    if ray_address is not None and engine != "ray":
        raise click.UsageError("--ray-address is for --engine ray.")
    keep_memory()
    import torch

    torch.set_num_threads(1)
    from cbam_viz.batch.record import STORE
    from cbam_viz.batch.run import run_batch
    from cbam_viz.batch.settings import Part, Settings
    from cbam_viz.batch.sources.tables import Columns

    settings = Settings(
        view=view,
        precision=precision,
        labels=labels,
        columns=Columns(image_column, label_column),
        window=reading.window,
        index=reading.index,
        batch=batch_size,
        fast=tuple(way for way in FAST if way in fast),
        device=device,
    )
    mine = Part(*part) if part is not None else Part()
    local = os.environ.get("LOCAL_RANK", "")
    if local.isdigit() and device != "cpu" and torch.cuda.is_available():
        settings = replace(settings, device=f"cuda:{local}")
    beside = os.environ.get("LOCAL_WORLD_SIZE", "")
    if workers is None and beside.isdigit() and int(beside) > 1:
        workers = max(1, cores() // int(beside))
    refuse_unwritable([out / STORE])
    loaded = open_network(choice, view=view)
    progress = Progress()
    try:
        summary = run_batch(
            loaded,
            sources,
            out,
            settings,
            part=mine,
            engine=engine,
            ray_address=ray_address,
            workers=workers,
            threads=threads,
            retry=retry,
            code=choice.factory,
            reopen=_reopen(choice, engine),
            reporter=progress,
        )
        if summary.complete:
            _sum_up(out)
    except BaseException:
        progress.broken(out)
        raise
    finally:
        progress.close()
    return _conclude(summary, mine, as_json=as_json)


def _sum_up(store: Path) -> None:
    """Sum up what views of all photos show, while nobody waits for one."""
    from cbam_viz.batch.machine import cores
    from cbam_viz.dataset import open_store, sum_up
    from cbam_viz.errors import StoreError

    with suppress(StoreError):  # no photo could be read: there is nothing to sum up
        sum_up(open_store(store), cores())


def _reopen(choice: ModelChoice, engine: Engine) -> Callable[[], LoadedModel] | None:
    """How a process opens the network that does not inherit it; None where it had better inherit.

    What code of one's own draws at random, each call of it might draw anew. On a cluster the
    network cannot be inherited, and weights that differ are refused.
    """
    if choice.factory and engine != "ray":
        return None
    return partial(open_network, choice, quiet=True)


def _conclude(summary: Summary, part: Part, *, as_json: bool) -> int:
    stored = summary.done_before + summary.done - summary.failed
    rate = summary.done / summary.seconds if summary.done else None
    if as_json:
        print_json(
            {
                "store": str(summary.store),
                "photos": summary.photos,
                "part": part.name or None,
                "stored": stored,
                "done_before": summary.done_before,
                "failed": summary.failed,
                "complete": summary.complete,
                "seconds": summary.seconds,
                "photos_a_second": rate,
                "bytes": summary.bytes,
            }
        )
    else:
        say(_told(summary, part, stored, rate))
    # torchrun ends all other processes as soon as one of them ends with any status but 0.
    beside_others = "TORCHELASTIC_RUN_ID" in os.environ
    return SOME_FAILED if summary.failed and not beside_others else 0


def _told(summary: Summary, part: Part, stored: int, rate: float | None) -> str:
    which = f" of part {part.number} of {part.of}" if part.name else ""
    are = f"photo{which} is" if stored == 1 else f"photos{which} are"
    lines = [f"{stored:,} {are} in {summary.store} ({file_size(summary.bytes)})."]
    if rate is not None:
        lines.append(f"This run did {summary.done:,} at {rate:,.1f} photos a second.")
    if summary.failed:
        where = "failed.csv there says" if summary.complete else "the lines above say"
        lines.append(f"{summary.failed:,} could not be read or shown; {where} why.")
    if not summary.complete:
        lines.append("Other parts are still to be done.")
    return " ".join(lines)
