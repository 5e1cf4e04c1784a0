"""A server with a known network, and a real browser in front of it.

A test that fails leaves a screenshot of each of its pages in `test-artifacts/`.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app_checkpoint import write_checkpoint

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "test-artifacts"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WINDOW = {"width": 1400, "height": 1000}
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"


def missing(what: str) -> None:
    """Skip with a reason; where everything is installed, on CI, fail instead."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI promises it", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def server(checkpoint_folder, tmp_path_factory) -> Iterator[str]:
    """The app as a user starts it; gives its address."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    port = free_port()
    process = start_server(checkpoint_folder, port, log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
    text = log.read_text()
    assert "Traceback" not in text, text


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start_server(checkpoints: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the app; give its process as soon as it answers."""
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    options = {"port": port, "address": "127.0.0.1", "headless": "true", "fileWatcherType": "none"}
    command += [f"--server.{name}={value}" for name, value in options.items()]
    environment = {
        **os.environ,
        "CBAM_VIZ_CHECKPOINTS": str(checkpoints),
        "OMP_NUM_THREADS": "1",
    }
    with log.open("a") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    _wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
    return process


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the server stopped"
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server did not come up in 30 s")


@pytest.fixture(scope="session")
def browser():
    """Chromium from the system, or the one that Playwright installed."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        missing("Playwright is not installed: pip install playwright")
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        flags += ["--use-fake-device-for-media-stream"]  # a camera that shows a test picture
        try:
            started = playwright.chromium.launch(executable_path=found, args=flags)
        except Error:
            missing("no Chromium: apt-get install chromium, or playwright install chromium")
        yield started
        started.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.failed = report.failed
    return report


@pytest.fixture(scope="session")
def context(browser):
    """Where tabs are opened: each is a session of its own, and the app's scripts load once."""
    opened = browser.new_context(viewport=WINDOW, accept_downloads=True)
    opened.set_default_timeout(60_000)  # the first visit waits for PyTorch
    yield opened
    opened.close()


@pytest.fixture
def visit(context, server, request) -> Iterator[Callable[..., object]]:
    """Open an address of the app in a new session, and wait until it has settled."""
    pages = []

    def open_page(path: str = "/", viewport=WINDOW):
        page = context.new_page()
        pages.append(page)
        page.set_viewport_size(viewport)
        page.outside = []
        page.on("request", lambda sent: _note_outside(page, sent.url, server))
        page.goto(server + path)
        settle(page)
        return page

    yield open_page
    if getattr(request.node, "failed", False):
        _keep_screenshots(pages, request.node.name)
    for page in pages:
        page.close()


def settle(page) -> None:
    """Wait until the script has run and what it sent is drawn."""
    page.wait_for_timeout(150)
    page.wait_for_selector(SETTLED)
    page.wait_for_timeout(150)


def _note_outside(page, url: str, server: str) -> None:
    if not url.startswith((server, server.replace("http", "ws"), "data:", "blob:")):
        page.outside.append(url)


def _keep_screenshots(pages, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    for number, page in enumerate(pages):
        safe = re.sub(r"\W+", "_", name)
        page.screenshot(path=ARTIFACTS / f"{safe}_{number}.png", full_page=True)


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Make the bytes of a PNG of one colour, with a square of another colour if asked."""

    def make(colour, size=(300, 400), square=None) -> bytes:
        pixels = np.full((*size, 3), colour, np.uint8)
        if square is not None:
            pixels[: size[0] // 2, : size[1] // 2] = square
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return make
