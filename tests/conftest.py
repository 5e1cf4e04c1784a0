"""What holds for every test: one torch thread, and in CI no test that quietly does not run."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
import torch
from hypothesis import settings

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()  # so that tests may import timm before cbam_viz does

NOT_ON_CI = ("CUDA", "GPU", "Windows", "macOS")
"""Reasons to skip that a CI machine may have; every other tool is installed there."""

torch.set_num_threads(1)  # two threads a process are slower than one where tests run in parallel

# A deadline is an assertion on time, which a busy machine breaks.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def _must_run(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where the environment promises that everything is installed."""
    if not (report.skipped and os.environ.get("CBAM_VIZ_ALL_TESTS")) or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr)
    if not any(word in reason for word in NOT_ON_CI):
        report.outcome = "failed"
        report.longrepr = f"skipped where CBAM_VIZ_ALL_TESTS is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See `_must_run`."""
    report = yield
    _must_run(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """See `_must_run`: `importorskip` at the top of a file skips all of it."""
    report = yield
    _must_run(report)
    return report


@pytest.fixture(scope="session")
def ultralytics(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package ultralytics, kept from installing things and from patching the process.

    At import it replaces `PIL.Image.open` and `torch.save`, sets print options and OpenCV's
    threads, writes a settings file and would install packages that it misses.
    """
    names = ("YOLO_CONFIG_DIR", "YOLO_AUTOINSTALL", "YOLO_OFFLINE", "YOLO_VERBOSE")
    values = (str(tmp_path_factory.mktemp("ultralytics")), "false", "true", "false")
    import cv2
    import numpy as np
    import PIL.Image

    environment, threads = dict(os.environ), cv2.getNumThreads()
    opened, saved = PIL.Image.open, torch.save
    printing = np.get_printoptions()
    os.environ.update(zip(names, values, strict=True))
    try:
        package = pytest.importorskip("ultralytics", reason="needs ultralytics")
        __import__("ultralytics.nn.tasks")
    finally:
        PIL.Image.open, torch.save = opened, saved
        np.set_printoptions(**printing)
        torch.set_printoptions(profile="default")
        cv2.setNumThreads(threads)
        os.environ.clear()
        os.environ.update(environment)
    return package
