"""The shards of a run on a Ray cluster: an engine beside the processes of `workers`.

A shard is a Ray task. It is known by its number, writes one file as a whole, and gives the same
bits wherever it runs, so that a task whose worker or machine is lost is simply run again; the
scheduler shares tasks out, to machines that join later too. Ray Data would do the same with more
between: it forms blocks and files of its own, and what decides the bits here (which photos go
through the network together) and what resumes (a file a shard) are not its blocks. Actors would
tie the work to as many workers as there were at the start.

A worker opens the network once and keeps it for the shards that come to it.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from cbam_viz._text import shortened
from cbam_viz.batch.machine import cores, exactly_on, one_thread
from cbam_viz.batch.record import STORE, read_record
from cbam_viz.batch.settings import versions_used
from cbam_viz.batch.shard import ShardResult, Work, mark
from cbam_viz.batch.tally import Tally
from cbam_viz.batch.workers import made, with_network, without_network
from cbam_viz.errors import CbamVizError, ModelError, StoreError
from cbam_viz.models import LoadedModel

ADDRESS = "RAY_ADDRESS"
"""The environment variable that names a cluster, as everywhere with Ray."""
_RETRIES = 3
"""Times that a shard is begun again as its worker died; a photo that kills it must not go on."""
_WAITING = 1000
"""Shards that Ray knows of at a time."""
_LOOK = 0.5
"""Seconds between two looks at how far the workers are."""
_SMALL = 1 << 27
"""Bytes for Ray's own store of objects; gates do not pass through it."""


@dataclass(frozen=True)
class Cluster:
    """Machines that Ray shares the work out to."""

    ray: Any
    """The module."""
    told: str
    """What it is, for who started the run."""
    limit: int
    """Shards that may be under way at a time."""


@contextmanager
def connected(address: str | None, workers: int | None, device: str) -> Iterator[Cluster]:
    """Connect to a cluster, or start one of this machine alone if no address is given or set.

    One that this program has initialised before is used as it is and left as it is. `workers` is
    how many tasks may run at a time (default: one for each core). Raises CbamVizError where Ray is
    missing or the cluster cannot be reached.
    """
    ray = _ray()
    if ray.is_initialized():
        yield _described(ray, workers, "the cluster that Ray is connected to")
        return
    address = address or os.environ.get(ADDRESS)
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None or address == "local":
        address = "local"
        options |= {
            "num_cpus": workers or cores(),
            "object_store_memory": _SMALL,
            "include_dashboard": False,
        }
        if device == "cpu":
            options["num_gpus"] = 0
    try:
        with _for_workers():
            ray.init(address=address, **options)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError and more
        where = "cannot be started" if address == "local" else f"at {address} cannot be reached"
        cause = shortened(str(error).strip().partition("\n")[0], 200) or type(error).__name__
        raise CbamVizError(
            f"A Ray cluster {where}: {cause}. Check --ray-address and {ADDRESS}, or leave --engine "
            "ray out."
        ) from error
    try:
        told = "this machine" if address == "local" else f"the cluster at {address}"
        yield _described(ray, workers, told)
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise CbamVizError(
            f"The engine ray needs the package ray ({error}). Install it: "
            'pip install "cbam-viz[ray]".'
        ) from error


def _described(ray: Any, workers: int | None, where: str) -> Cluster:
    processors = int(ray.cluster_resources().get("CPU", 0))
    most = f", {workers} at a time" if workers else ""
    told = f"tasks of Ray on {where}, {processors} processor{'' if processors == 1 else 's'}{most}"
    return Cluster(ray, told, workers or _WAITING)


@contextmanager
def _for_workers() -> Iterator[None]:
    """The environment that processes of a local cluster start with.

    They import what this program can import, and report nothing to anybody.
    """
    changed = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class _Parcel:
    """What a worker needs; the same for all shards of a run."""

    folder: str
    """In which relative paths are meant."""
    work: Work
    """Without the network."""
    network: bytes | None
    """The network, pickled, where `work` cannot open it."""


def run_on_ray(
    work: Work, shards: Sequence[int], cluster: Cluster, progress: Callable[[int], None]
) -> Iterator[ShardResult]:
    """Yield what came of each shard, as they are done; `progress` is told of photos in between.

    Raises CbamVizError if a shard's worker dies again and again, or is another one than this
    program, StoreError if a shard cannot be written.
    """
    ray = cluster.ray
    tally = ray.remote(Tally).options(num_cpus=0, max_restarts=-1).remote()
    try:
        parcel = ray.put(_parcel(work))
        task = ray.remote(_task).options(
            num_cpus=max(1, work.looker.threads),
            num_gpus=int(work.record.fingerprint["device"] == "cuda"),
            max_retries=_RETRIES,
        )

        def begin(shard: int) -> Any:
            # In a list, a reference stays one: a worker fetches what it means only once.
            return task.remote([parcel], shard, tally)

        yield from _results(cluster, begin, tally, iter(shards), progress)
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from None
    except ray.exceptions.RayError as error:
        raise CbamVizError(
            f"Ray gave a shard up ({shortened(str(error).strip().partition(chr(10))[0], 200)}): "
            "its worker ended without a word again and again. The system may have killed it as "
            "memory ran out, or the network's code or a picture ended it. What was done stays, and "
            "the same command does the rest. Fewer --workers need less memory."
        ) from error
    finally:
        # Who ends early leaves shards that wait. To cancel them may end this program too: Ray 2.60
        # checks, at the end of a task, that nobody has cancelled it meanwhile.
        tally.stop.remote()


def _results(
    cluster: Cluster,
    begin: Callable[[int], Any],
    tally: Any,
    todo: Iterator[int],
    progress: Callable[[int], None],
) -> Iterator[ShardResult]:
    ray = cluster.ray
    running: dict[Any, int] = {}
    finished = told = 0
    looked = time.monotonic()
    while True:
        for shard in islice(todo, cluster.limit - len(running)):
            running[begin(shard)] = shard
        if not running:
            return
        ended, _ = ray.wait(list(running), timeout=_LOOK)
        results = [ray.get(one) for one in ended]
        for one in ended:
            running.pop(one)
        finished += sum(result.photos for result in results)
        through = finished
        if time.monotonic() - looked >= _LOOK:
            through += _under_way(ray, tally, running)
            looked = time.monotonic()
        if through > told:  # a shard that is begun again takes back what it had told
            progress(through - told)
            told = through
        yield from results


def _under_way(ray: Any, tally: Any, running: dict[Any, int]) -> int:
    """Photos that are through in shards that are not; 0 while nobody can tell."""
    try:
        through = ray.get(tally.through.remote(), timeout=_LOOK)
    except ray.exceptions.RayError:
        return 0
    return sum(through.get(shard, 0) for shard in running.values())


def _cause(error: Any) -> BaseException:
    """What went wrong in a worker, as it would have been raised here."""
    cause = error.cause
    if isinstance(cause, CbamVizError) or "failed to import" not in str(cause):
        return cause if isinstance(cause, Exception) else CbamVizError(str(error))
    return CbamVizError(
        "A machine of the cluster cannot import cbam-viz. Install the same version with the same "
        "packages on all of them, and start Ray there in that environment."
    )


def _parcel(work: Work) -> _Parcel:
    network = None if work.reopen is not None else _pickled(work.looker.loaded)
    return _Parcel(str(Path.cwd()), without_network(work), network)


def _pickled(loaded: LoadedModel) -> bytes:
    """The network for workers that cannot open it, such as one made in a notebook."""
    import torch

    device = next(loaded.model.parameters(), torch.empty(0)).device
    try:
        loaded.model.to("cpu")  # a worker's GPU may have another number
        return bytes(_ray().cloudpickle.dumps(loaded))
    except Exception as error:  # whatever classes of others do when they are pickled
        cause = shortened(str(error).partition("\n")[0], 200)
        raise ModelError(
            f"{loaded.name} cannot be sent to other processes: {cause}. Give run_batch a reopen= "
            "that opens it there, or leave the engine ray out."
        ) from error
    finally:
        loaded.model.to(device)


def _task(parcel: list[Any], shard: int, tally: Any) -> ShardResult | None:
    """Compute one shard in a worker; None if nobody wants it any more."""
    if _ray().get(tally.stopped.remote()):
        return None
    through = 0

    def done(photos: int) -> None:
        nonlocal through
        through += photos
        tally.put.remote(shard, through)

    work = _opened(parcel[0])
    with exactly_on(work.record.fingerprint["device"]):
        return made(work, shard, done)


@lru_cache(maxsize=1)
def _opened(reference: Any) -> Work:
    """Make a process a worker for a run, and check that it would do what the others do."""
    from cbam_viz.models.loaded import weights_sha256

    one_thread()
    parcel: _Parcel = _ray().get(reference)
    here, work = socket.gethostname(), parcel.work
    try:
        os.chdir(parcel.folder)
    except OSError as error:
        raise StoreError(
            f"{here} has no folder {parcel.folder} ({error.strerror}). {_ALIKE}"
        ) from error
    known = read_record(work.store)
    if known is None or mark(known) != mark(work.record):
        raise StoreError(f"{work.store / STORE} is not the same on {here}. {_ALIKE}")
    made_with, used = work.record.fingerprint, versions_used()
    differing = [
        f"{key} ({made_with[key]}, {used[key]} there)"
        for key in used
        if used[key] != made_with[key]
    ]
    if differing:
        raise StoreError(
            f"On {here} other packages are installed, which may give other gates: "
            f"{', '.join(differing)}. Install the same on all machines of the cluster."
        )
    if parcel.network is not None:
        loaded = _ray().cloudpickle.loads(parcel.network)
    else:
        assert work.reopen is not None
        loaded = work.reopen()
    if weights_sha256(loaded.model) != made_with["weights"]:
        raise ModelError(
            f"{loaded.name} has other weights when it is opened on {here}. {_ALIKE} Code of your "
            "own must draw its weights from torch's random numbers, or load them."
        )
    loaded.model.to(made_with["device"])
    with exactly_on(made_with["device"]):
        return with_network(work, loaded)


_ALIKE = (
    "Photos, checkpoints and the store must lie on a disk that all machines of the cluster share, "
    "under the same path."
)
