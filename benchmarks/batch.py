"""`cbam-viz batch` of a folder against what else people do with a folder.

    .venv/bin/python -m benchmarks batch             # 64 photos
    .venv/bin/python -m benchmarks.batch 1000        # as in the README; best on a quiet machine

Photos of 1280 x 960 pixels, ResNet-50 with CBAM in all 16 blocks (random weights cost what trained
ones do). By the clock, as several processes work; before and after each candidate the baseline runs
once more, and its ratio is to the mean of the two: the machine may be another one by then.
"""

from __future__ import annotations

import importlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image

from benchmarks._harness import machine, table
from cbam_viz import create_model, load_model, read_photo, wrap_model
from cbam_viz.analysis import analyse_inputs
from cbam_viz.batch.fast import fast_forward
from cbam_viz.batch.machine import cores, keep_memory
from cbam_viz.batch.plan import ROWS
from cbam_viz.batch.record import layout_of, row_of
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import BATCH, LARGE_BATCH, Settings
from cbam_viz.batch.sources.item import Item
from cbam_viz.errors import CbamVizError
from cbam_viz.gates import capture
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import input_of
from cbam_viz.store.precision import Precision
from cbam_viz.store.shards import shard_bytes

SIZE = (1280, 960)
IMAGENET = 1_281_167
WAYS: dict[str, tuple[str, ...]] = {
    "batch": (),
    "batch --fast channels_last --fast fuse": ("channels_last", "fuse"),
    "batch --fast compile": ("compile",),
    "batch --fast compile --fast bf16": ("compile", "bf16"),
}
LITE = Path(__file__).parents[1] / "checkpoints" / "imagenet_efficientnet_lite0_cbam.safetensors"
SIZES = (str(LITE), "resnet18", "resnet50")
"""Networks, small to large, for the table on compiling. The first is a checkpoint, as CBAM that was
just put after stages has constant gates, which cannot be told from each other."""
SLOW = 16
"""Photos for what takes seconds a photo."""


def main(count: int = 64, network: str = "resnet50") -> None:
    """Print photos a second, ratios to the bare forward, and what the store takes."""
    keep_memory()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    loaded = _random(network)
    print(f"{machine(1)}; {cores()} processes; {network}, {count} photos of {SIZE}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder) / "photos", count)
        measure(loaded, photos, Path(folder))
        store(loaded, photos[:ROWS])
        compiling(SIZES, photos)


def make_photos(folder: Path, count: int) -> list[Path]:
    """Smooth pictures with noise, so that they take to decode what photos do."""
    folder.mkdir()
    paths = []
    for number in range(count):
        random = np.random.default_rng(number)
        rough = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(rough).resize(SIZE, Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + random.normal(0, 6, smooth.shape).astype(np.int16)
        paths.append(folder / f"{number:05}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def measure(loaded: LoadedModel, photos: Sequence[Path], folder: Path) -> None:
    """Time every candidate between two runs of the baseline."""
    rows = [("", "photos a second", "to the bare forward", "1.28 million photos, hours")]
    base = partial(bare, loaded, len(photos))
    last = base()
    name = f"bare forward, ready tensors, a process a core, {BATCH} at a time"
    rows.append(row(name, last, 1.0))
    candidates: dict[str, Callable[[], float | None]] = {
        f"the same, {LARGE_BATCH} at a time": partial(bare, loaded, len(photos), LARGE_BATCH),
        f"bare forward as torch comes, {BATCH} at a time": partial(
            as_it_comes, loaded, len(photos)
        ),
    }
    candidates |= {
        name: partial(ours, loaded, photos, folder / "store", ways) for name, ways in WAYS.items()
    }
    candidates["a script: one photo at a time, hooks, matplotlib"] = partial(
        script, loaded, photos[:SLOW], folder
    )
    few = photos[: SLOW * cores()]
    candidates["pytorch-grad-cam, Grad-CAM, one photo at a time"] = partial(
        one_by_one, loaded, photos[:SLOW]
    )
    candidates[f"the same, a process a core, {SLOW} at a time"] = partial(grad_cam, loaded, few)
    for name, candidate in candidates.items():
        before, rate, last = last, candidate(), base()
        mean = statistics.mean((before, last))
        rows.append((name, "–", "–", "–") if rate is None else row(name, rate, rate / mean))
        print(" ".join(rows[-1]), flush=True)
    print(f"\n{table(rows)}\n", flush=True)


def row(name: str, rate: float, ratio: float) -> tuple[str, str, str, str]:
    """One line of the table."""
    return name, f"{rate:.2f}", f"{ratio:.2f}", f"{IMAGENET / rate / 3600:.1f}"


def bare(loaded: LoadedModel, count: int, size: int = BATCH) -> float:
    """Photos a second of forwards alone, `size` at a time, a process of one thread on each core.

    The strictest baseline, and the one that other work on the machine disturbs least.
    """
    batches = max(1, count // size // cores())
    return batches * size * cores() / on_each_core(forwards, loaded, batches, size)


def on_each_core(work: Callable[..., None], *arguments: Any) -> float:
    """Seconds that `work` takes in a process of one thread on each core, once all are ready.

    It is called with the arguments, and a barrier that it waits at when it is ready.
    """
    context = get_context("fork")
    start = context.Barrier(cores() + 1)
    processes = [context.Process(target=work, args=(*arguments, start)) for _ in range(cores())]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - began
    if any(process.exitcode for process in processes):
        sys.exit("A process of the benchmark failed; its error stands above.")
    return seconds


def as_it_comes(loaded: LoadedModel, count: int) -> float:
    """Photos a second of forwards alone, in one process whose threads and memory nobody tuned."""
    return in_a_new_process(rate_as_it_comes, loaded, count)


def in_a_new_process(work: Callable[..., float], *arguments: Any) -> float:
    """What work gives in a process that inherits nothing.

    Threads that have worked once do not live through a fork, and what this process tuned would.
    """
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def rate_as_it_comes(loaded: LoadedModel, count: int) -> float:
    """The same, in that process."""
    inputs = torch.rand(BATCH, 3, *loaded.spec.size)
    batches = max(1, count // BATCH)
    with torch.inference_mode():
        loaded.model(inputs)
        began = time.perf_counter()
        for _ in range(batches):
            loaded.model(inputs)
        return batches * BATCH / (time.perf_counter() - began)


def forwards(loaded: LoadedModel, batches: int, size: int, start: Any) -> None:
    """So many forwards of a batch, once all processes are ready."""
    torch.set_num_threads(1)
    inputs = torch.rand(size, 3, *loaded.spec.size)
    with torch.inference_mode():
        loaded.model(inputs)
        start.wait()
        for _ in range(batches):
            loaded.model(inputs)


def ours(
    loaded: LoadedModel, photos: Sequence[Path], store: Path, ways: tuple[str, ...]
) -> float | None:
    """Photos a second from JPEG to store, without what is done once before."""
    shutil.rmtree(store, ignore_errors=True)
    settings = Settings(view="crop", fast=ways, device="cpu")
    began = time.perf_counter()
    try:
        summary = run_batch(loaded, [str(photos[0].parent)], store, settings)
    except CbamVizError as error:
        print(error, flush=True)
        return None
    once = time.perf_counter() - began - summary.seconds
    print(f"  {once:.0f} s once; {summary.bytes / len(photos) / 1e3:.1f} kB a photo", flush=True)
    return len(photos) / summary.seconds


def script(loaded: LoadedModel, photos: Sequence[Path], folder: Path) -> float:
    """What people write: a hook on a layer, one photo after the other, a figure of each."""
    plt: Any = importlib.import_module("matplotlib.pyplot")
    plt.switch_backend("agg")
    maps: list[Any] = []
    gates = [part for name, part in loaded.model.named_modules() if name.endswith("spatial.gate")]
    handle = gates[-1].register_forward_hook(lambda *parts: maps.append(parts[-1]))
    began = time.perf_counter()
    try:
        for photo in photos:
            with Image.open(photo) as image, torch.no_grad():
                loaded.model(input_of(loaded, read_photo(photo), "crop").tensor)
                figure, axes = plt.subplots()
                axes.imshow(image)
                axes.imshow(maps[-1][0, 0], alpha=0.5, extent=(0, *image.size, 0), cmap="jet")
                figure.savefig(folder / f"{photo.stem}.png")
                plt.close(figure)
    finally:
        handle.remove()
    return len(photos) / (time.perf_counter() - began)


def grad_cam(loaded: LoadedModel, photos: Sequence[Path]) -> float | None:
    """pytorch-grad-cam's Grad-CAM of the last stage, where the package `grad-cam` is installed.

    As fast as it goes: batches, and a process of one thread on each core, as `batch` has them. Maps
    are not drawn.
    """
    if not has_grad_cam():
        return None
    package: Any = importlib.import_module("pytorch_grad_cam")
    return len(photos) / on_each_core(grad_cams, package, loaded, photos)


def has_grad_cam() -> bool:
    """Whether the package `grad-cam` is installed; says so if not."""
    there = find_spec("pytorch_grad_cam") is not None
    if not there:
        print("  pytorch-grad-cam is not installed", flush=True)
    return there


def one_by_one(loaded: LoadedModel, photos: Sequence[Path]) -> float | None:
    """The same as people write it: one photo after the other, with the threads that torch takes."""
    return in_a_new_process(rate_one_by_one, loaded, photos) if has_grad_cam() else None


def rate_one_by_one(loaded: LoadedModel, photos: Sequence[Path]) -> float:
    """Photos a second, in that process."""
    package: Any = importlib.import_module("pytorch_grad_cam")
    with package.GradCAM(loaded.model, [loaded.model.get_submodule("layer4")]) as cam:
        began = time.perf_counter()
        for photo in photos:
            cam(input_of(loaded, read_photo(photo), "crop").tensor, targets=None)
        return len(photos) / (time.perf_counter() - began)


def grad_cams(package: Any, loaded: LoadedModel, photos: Sequence[Path], start: Any) -> None:
    """The maps of as many photos as are this process's."""
    torch.set_num_threads(1)
    mine = photos[: len(photos) // cores()]
    with package.GradCAM(loaded.model, [loaded.model.get_submodule("layer4")]) as cam:
        start.wait()
        for at in range(0, len(mine), SLOW):
            read = [read_photo(photo) for photo in mine[at : at + SLOW]]
            cam(torch.cat([input_of(loaded, photo, "crop").tensor for photo in read]), targets=None)


def compiling(names: Sequence[str], photos: Sequence[Path]) -> None:
    """From how many photos on compiling pays, for networks of several sizes.

    By the time of this process and those that it starts, a compiler above all. Compiling takes a
    run once, and every core waits for it: what it saves a photo is shared by the cores, so that it
    pays from as many times more photos on.
    """
    rows = [("", "compiling, s", "saved a photo, ms", "pays from, photos")]
    for name in names:
        loaded = load_model(name) if Path(name).is_file() else _random(name)
        read = [read_photo(photo) for photo in photos[:BATCH]]
        made = [(photo, input_of(loaded, photo, "crop")) for photo in read]
        inputs = torch.cat([one.tensor for _, one in made])
        began = sum(os.times()[:4])
        try:
            with compiled_anew():
                forward, _ = fast_forward(loaded, made, BATCH, ("compile",))
        except CbamVizError as error:
            print(error, flush=True)
            continue
        once = sum(os.times()[:4]) - began
        with torch.inference_mode():
            exact = quickest(partial(capture, loaded.model, inputs))
            fast = quickest(partial(forward, inputs))
        saved = (exact - fast) / BATCH
        pays = f"{once * cores() / saved:,.0f}" if saved > 0 else "never"
        rows.append((loaded.name, f"{once:.0f}", f"{saved * 1e3:.1f}", pays))
        print(" ".join(rows[-1]), flush=True)
    print(f"\n{table(rows)}\n", flush=True)


@contextmanager
def compiled_anew() -> Iterator[None]:
    """Without what torch keeps of earlier compilations."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def _random(name: str) -> LoadedModel:
    """A network with CBAM in all blocks, and random weights."""
    return wrap_model(create_model(name, zero_init_last=False).eval(), name=name)


def quickest(action: Callable[[], Any]) -> float:
    """Seconds of processor time, the least of several runs."""
    times = []
    for _ in range(5):
        began = time.process_time()
        action()
        times.append(time.process_time() - began)
    return min(times)


def store(loaded: LoadedModel, photos: Sequence[Path]) -> None:
    """What writing a shard of so many photos takes, without the disk."""
    analyses = []
    for start in range(0, len(photos), BATCH):
        read = [read_photo(photo) for photo in photos[start : start + BATCH]]
        made = [(photo, input_of(loaded, photo, "crop")) for photo in read]
        analyses += analyse_inputs(loaded, made)
    rows = [("store", "kB a photo", "photos a second")]
    precisions: tuple[Precision, ...] = get_args(Precision)
    for precision in precisions:
        layout = layout_of(analyses[0], precision)
        shard = [
            row_of(one, Item(f"{n}.jpg", "file", ""), n, layout) for n, one in enumerate(analyses)
        ]
        times = []
        for _ in range(5):
            began = time.perf_counter()
            data = shard_bytes(layout, shard, {})
            times.append(time.perf_counter() - began)
        size = f"{len(data) / len(shard) / 1e3:.1f}"
        rows.append((precision, size, f"{len(shard) / min(times):.0f}"))
    print(table(rows), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64, *sys.argv[2:3])
