"""Processes with limits: what they give back, and that whoever waits for them is not harmed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from cbam_viz.errors import ImageError, LimitError
from cbam_viz.limited import run_limited

JOBS = "tests.limited_jobs"


def run(job: str, file: bytes = b"abc", *arguments: int, megabytes: int = 200) -> bytes:
    return run_limited(f"{JOBS}:{job}", file, arguments, seconds=1, megabytes=megabytes)


def test_the_result_comes_back() -> None:
    assert run("reverse", b"abc", 1) == b"cba"
    assert run("reverse", b"", 0) == b""


def test_an_open_file_is_read_from_its_start_and_stays_usable(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as stream:
        assert stream.read(10) == data[:10]
        job = f"{JOBS}:reverse"
        assert run_limited(job, stream, [2], seconds=1, megabytes=50) == data
        assert stream.read() == data[10:]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has the clock alone")
def test_a_process_that_hangs_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(LimitError, match="took more than 1 seconds"):
        run("hang")
    assert time.monotonic() - start < 20


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows have no such limit")
@pytest.mark.parametrize("job", ["fill", "fill_with_objects"])
def test_a_process_that_fills_the_memory_is_ended(job: str) -> None:
    with pytest.raises(LimitError, match="needs more than 100 MB"):
        run(job, megabytes=100)


def test_what_the_function_raises_comes_back_in_its_class() -> None:
    with pytest.raises(ImageError, match="It is no picture — at all"):
        run("refuse")


@pytest.mark.parametrize("job", ["die", "fail"])
def test_a_process_that_dies_is_an_error(job: str) -> None:
    with pytest.raises(LimitError, match="ended the process"):
        run(job)


def test_the_length_of_the_result_is_limited() -> None:
    assert len(run("answer_long", b"", 10**6, megabytes=50)) == 10**6
    with pytest.raises(LimitError, match="more than 1 MB"):
        run("answer_long", b"", 10**6, megabytes=1)


def test_nothing_heavy_is_imported() -> None:
    loaded = set(run("modules").decode().split())
    assert "cbam_viz.limited" in loaded
    assert not loaded & {"torch", "numpy", "streamlit", "timm"}
