"""A Ray cluster gives the store of an ordinary run, also when workers are killed."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

import cbam_viz
from cbam_viz.batch import cluster, machine
from cbam_viz.batch.cluster import connected
from cbam_viz.batch.reporter import Reporter
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Part, Settings
from cbam_viz.batch.tally import Tally
from cbam_viz.errors import CbamVizError, StoreError
from cbam_viz.models import LoadedModel
from tests.batch.test_going_on import contents
from tests.cli.conftest import invoke, write_photo

CROP = Settings(view="crop")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy photos, one of which is none: five shards of sixteen."""
    folder = tmp_path_factory.mktemp("many") / "photos"
    for number in range(70):
        write_photo(folder / f"{number:03}.png", size=(64, 60 + number % 2), seed=number)
    (folder / "020.png").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def whole(loaded: LoadedModel, many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of an ordinary run."""
    store = tmp_path_factory.mktemp("whole") / "store"
    run_batch(loaded, [str(many)], store, CROP, workers=1)
    return store


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One cluster of this machine for all tests here, as starting one takes seconds."""
    package = pytest.importorskip("ray", reason="needs ray")
    with connected("local", 2, "cpu") as running:
        yield running.ray
    assert not package.is_initialized()


class Told(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.through = 0

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, photos: int) -> None:
        assert photos > 0
        self.through += photos


def kill_two(store: Path, killed: list[int], stop: threading.Event) -> None:
    """Kill -9 a worker that has begun, and another once the first shard is there."""
    while len(killed) < 2 and not stop.is_set():
        for process in psutil.Process().children(recursive=True):
            try:
                working = "".join(process.cmdline()).startswith("ray::_task")
                later = not killed or list((store / "gates").glob("*.parquet"))
                if working and later and process.pid not in killed:
                    process.kill()
                    killed.append(process.pid)
                    break
            except psutil.Error:
                continue
        time.sleep(0.002)


@pytest.mark.skipif(sys.platform != "linux", reason="not on Windows or macOS: reads process names")
def test_killed_workers_cost_nothing(
    ray: Any, loaded: LoadedModel, many: Path, whole: Path, tmp_path: Path
) -> None:
    store, killed, stop, told = tmp_path / "store", [], threading.Event(), Told()
    thread = threading.Thread(target=kill_two, args=(store, killed, stop))
    thread.start()
    try:
        summary = run_batch(loaded, [str(many)], store, CROP, engine="ray", reporter=told)
    finally:
        stop.set()
        thread.join()
    assert len(killed) == 2
    assert contents(store) == contents(whole)
    assert (summary.done, summary.failed, summary.complete) == (70, 1, True)
    assert told.through == 70
    assert "tasks of Ray on the cluster that Ray is connected to, 2 processors" in told.said[0]
    assert any(text.startswith("Skipped 020.png: ") for text in told.said)
    assert ray.is_initialized()  # whose it is ends it


def test_what_one_engine_began_the_other_ends(
    ray: Any, loaded: LoadedModel, many: Path, whole: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run_batch(loaded, [str(many)], store, CROP, part=Part(1, 3), workers=1)
    part = Part(2, 3)
    again = run_batch(loaded, [str(many)], store, CROP, part=part, engine="ray", workers=1)
    assert (again.done_before, again.done, again.complete) == (0, 22, False)
    summary = run_batch(loaded, [str(many)], store, CROP, engine="ray")
    assert (summary.done_before, summary.done) == (54, 16)
    assert contents(store) == contents(whole)
    settings = Settings(view="crop", precision="float32")
    with pytest.raises(StoreError, match=r"precision \(float16 there, float32 now\)"):
        run_batch(loaded, [str(many)], store, settings, engine="ray")


def test_a_run_that_is_stopped_leaves_whole_shards(
    ray: Any, loaded: LoadedModel, many: Path, whole: Path, tmp_path: Path
) -> None:
    """Ctrl-C, here as the exception that it is."""

    class Impatient(Told):
        def advance(self, photos: int) -> None:
            raise KeyboardInterrupt

    store = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        run_batch(loaded, [str(many)], store, CROP, engine="ray", reporter=Impatient())
    there, wanted = contents(store), contents(whole)
    assert all(there[name] == wanted[name] for name in there if not name.endswith(".part"))
    assert run_batch(loaded, [str(many)], store, CROP, engine="ray").complete
    assert contents(store) == wanted


class Fragile(torch.nn.Module):
    """Own code, made here, that ends the process on one photo."""

    def __init__(self, end: bool) -> None:
        super().__init__()
        self.end = end
        self.stem = torch.nn.Conv2d(3, 6, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.end and "_task" in psutil.Process().cmdline()[0]:
            os.kill(os.getpid(), 9)
        x = self.stem(x)
        x = x * torch.sigmoid(x.mean((2, 3)))[:, :, None, None]
        return x.mean((2, 3))


def own(end: bool) -> LoadedModel:
    torch.manual_seed(0)
    spec = cbam_viz.InputSpec(size=(64, 64))
    return cbam_viz.wrap_model(Fragile(end).eval(), spec)


def test_own_code_is_sent(ray: Any, photos: Path, tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    run_batch(own(False), [str(photos)], tmp_path / "whole", CROP, workers=1)
    run_batch(own(False), [str(photos)], tmp_path / "ray", CROP, engine="ray")
    assert contents(tmp_path / "ray") == contents(tmp_path / "whole")


@pytest.mark.skipif(sys.platform != "linux", reason="not on Windows or macOS: reads process names")
def test_a_photo_that_always_kills_its_worker_ends_the_run(
    ray: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(cluster, "_RETRIES", 1)
    with pytest.raises(CbamVizError, match="ended without a word again and again"):
        run_batch(own(True), [str(photos)], tmp_path / "store", CROP, engine="ray", workers=1)


def test_another_network_in_a_worker_is_refused(
    ray: Any, loaded: LoadedModel, photos: Path, tmp_path: Path
) -> None:
    """Such as code that draws its weights elsewhere than from torch."""
    arguments = (loaded, [str(photos)], tmp_path / "store", CROP)
    with pytest.raises(CbamVizError, match="has other weights when it is opened on"):
        run_batch(*arguments, engine="ray", reopen=_another)


def _another() -> LoadedModel:
    return cbam_viz.wrap_model(cbam_viz.create_model("resnet10t"), name="another")


def test_other_packages_in_a_worker_are_refused(
    loaded: LoadedModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_batch(loaded, [str(photos)], tmp_path / "store", CROP, workers=1)
    record = cluster.read_record(tmp_path / "store")
    work = SimpleNamespace(store=tmp_path / "store", record=record, reopen=lambda: loaded)
    parcels: dict[str, Any] = {}
    monkeypatch.setattr(cluster, "_ray", lambda: parcels)  # `get` is all that is asked of it
    monkeypatch.setattr(cluster, "one_thread", lambda: None)
    monkeypatch.chdir(tmp_path)
    parcels["this"] = cluster._Parcel(str(tmp_path), work, None)  # type: ignore[arg-type]
    other = {**cluster.versions_used(), "version of torch": "0.1"}
    monkeypatch.setattr(cluster, "versions_used", lambda: other)
    with pytest.raises(StoreError, match=r"version of torch \(.*, 0\.1 there\)"):
        cluster._opened.__wrapped__("this")
    parcels["elsewhere"] = cluster._Parcel(str(tmp_path / "no"), work, None)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="must lie on a disk that all machines"):
        cluster._opened.__wrapped__("elsewhere")
    work.store = tmp_path / "other"
    with pytest.raises(StoreError, match="is not the same on"):
        cluster._opened.__wrapped__("this")


def test_without_ray_a_sentence_says_what_to_install(
    loaded: LoadedModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CbamVizError, match=r'Install it: pip install "cbam-viz\[ray\]"'):
        run_batch(loaded, [str(photos)], tmp_path / "store", CROP, engine="ray")
    assert not (tmp_path / "store").exists()
    alone = invoke("batch", str(photos), "--out", "x", "--ray-address", "auto")
    assert (alone.exit_code, "is for --engine ray" in alone.stderr) == (2, True)


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the environment's address, as Ray itself would look for it."""

    def init(address: str, **_: Any) -> None:
        raise ConnectionError(f"Could not find any running Ray instance at {address}.\nAnd more.")

    there = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setattr(cluster, "_ray", lambda: there)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    before = dict(os.environ)
    connecting = connected(None, None, "cpu")
    with pytest.raises(CbamVizError, match=r"at 10\.0\.0\.1:6379 cannot be reached: Could not"):
        connecting.__enter__()
    assert dict(os.environ) == before


def test_a_tally_counts_a_shard_anew() -> None:
    tally = Tally()
    for shard, photos in ((0, 8), (1, 8), (0, 16), (0, 4)):
        tally.put(shard, photos)
    assert tally.through() == {0: 4, 1: 8}
    assert not tally.stopped()
    tally.stop()
    assert tally.stopped()


def test_exactly_on_a_gpu_takes_no_shortcuts() -> None:
    """The flags alone; they are set without a GPU too."""
    cudnn, threads = torch.backends.cudnn, torch.get_num_threads()
    torch.set_float32_matmul_precision("high")
    try:
        before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32)
        with machine.exactly_on("cuda"):
            assert cudnn.enabled
            assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == (True, False, False)
            assert torch.get_float32_matmul_precision() == "highest"
        assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == before
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="not with CUDA: looks at its lack")
def test_a_gpu_that_is_not_there(loaded: LoadedModel, photos: Path, tmp_path: Path) -> None:
    settings = Settings(view="crop", device="cuda")
    with pytest.raises(CbamVizError, match="There is no GPU that torch can use"):
        run_batch(loaded, [str(photos)], tmp_path / "store", settings)
    assert not (tmp_path / "store").exists()
