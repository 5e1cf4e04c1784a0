"""The app in a real browser: first paint of a fresh server, and what a display control costs.

    .venv/bin/python -m benchmarks app

Needs Chromium and Playwright as the browser tests do. Times to the eye are wall time; a control's
cost is the CPU time of the server's process from the click until the page is at rest.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._harness import machine, needs, skip, table

ROOT = Path(__file__).parents[1]
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STARTS, CHANGES = 3, 12
TARGET_MS = 50


def main() -> None:
    """Print both tables."""
    needs("playwright", "psutil", "streamlit")
    from playwright.sync_api import sync_playwright

    print(f"Machine: {machine()}\n")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = _chromium(playwright)
        network = sixteen_layers(Path(folder))
        first_paint(browser, network)
        display_controls(browser, network)
        browser.close()


def _chromium(playwright: Any) -> Any:
    """The system's Chromium, or the one that Playwright installed; without one there is nothing."""
    from playwright.sync_api import Error

    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    try:
        return playwright.chromium.launch(executable_path=found, args=flags)
    except Error as error:
        if found is not None:
            skip(f"{found} does not start: {error.message.partition(chr(10))[0]}")
        skip("it needs a browser: apt-get install chromium, or playwright install chromium.")


def sixteen_layers(folder: Path) -> Path:
    """A ResNet-50 with CBAM in all 16 blocks; random weights cost what trained ones do."""
    import json

    from safetensors.torch import save_file

    from cbam_viz import create_model

    arguments: dict[str, Any] = {"zero_init_last": False}
    model = create_model("resnet50", **arguments)
    about = {
        "schema": 1,
        "title": "ResNet-50 with CBAM, 16 layers",
        "architecture": "resnet50",
        "attention": "cbam",
        "arguments": arguments,
        "default": True,
    }
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "network.safetensors", {"cbam_viz": json.dumps(about)})
    return folder


@contextmanager
def server(checkpoints: Path) -> Iterator[tuple[str, int, float]]:
    """A fresh server as soon as it answers: its address, process id and seconds from its start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    options = {"port": port, "address": "127.0.0.1", "headless": "true", "fileWatcherType": "none"}
    command += [f"--server.{name}={value}" for name, value in options.items()]
    environment = {**os.environ, "CBAM_VIZ_CHECKPOINTS": str(checkpoints)}
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_stcore/health")
        yield address, process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(address: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("The server did not come up in 30 s.")


def first_paint(browser: Any, network: Path) -> None:
    """Seconds until the photo is there, and until the map is over it."""
    rows: list[tuple[str, ...]] = [
        ("visitor arrives", "photo on screen, s", "map and prediction, s", "another photo, s")
    ]
    answers, maps = [], []
    for name, wait in (("as soon as the server answers", 0.0), ("15 s later", 15.0)):
        times = []
        for _ in range(STARTS):
            with server(network) as (address, _pid, answered):
                time.sleep(wait)
                times.append(_visit(browser, address))
            if not wait:
                answers.append(answered)
                maps.append(answered + times[-1][1])
        medians = [statistics.median(column) for column in zip(*times, strict=True)]
        rows.append((name, *(f"{median:.2f}" for median in medians)))
    print("### First paint\n")
    print(table(rows))
    print(
        f"\nFrom the start of the server's process to its first answer "
        f"{statistics.median(answers):.2f} s, to the first map {statistics.median(maps):.2f} s "
        f"(median of {STARTS}).\n",
        flush=True,
    )


def _visit(browser: Any, address: str) -> tuple[float, float, float]:
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    began = time.perf_counter()
    page.goto(address)
    picture = "[data-testid=stMain] img, [data-testid=stMain] canvas[role=img]"
    page.wait_for_selector(picture, timeout=60_000)
    photo = time.perf_counter() - began
    page.wait_for_selector("canvas[role=img][data-drawn]", timeout=60_000)
    complete = time.perf_counter() - began
    page.wait_for_selector(SETTLED)
    began = time.perf_counter()
    page.get_by_role("combobox").first.click()
    page.get_by_role("option").nth(1).click()
    page.wait_for_selector("canvas[role=img][aria-label^=coffee]", timeout=60_000)
    another = time.perf_counter() - began
    page.context.close()
    return photo, complete, another


def display_controls(browser: Any, network: Path) -> None:
    """CPU time of the server for each control, mean of several changes."""
    rows = [("control, 16 layers", "server CPU, ms", "target")]
    with server(network) as (address, pid, _answered):
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.goto(address)
        page.wait_for_selector("canvas[role=img][data-drawn]", timeout=60_000)
        _rest(page)
        for name, action in _actions(page):
            cost = _cost(page, pid, action)
            rows.append((name, f"{cost:.0f}", f"< {TARGET_MS}"))
        page.goto(f"{address}/layers")
        page.wait_for_selector("button.card", timeout=60_000)
        _rest(page)
        cost = _cost(page, pid, lambda turn: _colormap(page, turn))
        rows.append(("All layers: colour map of all 16 maps", f"{cost:.0f}", f"< {TARGET_MS}"))
    print("### Display controls\n")
    print(table(rows), flush=True)


def _actions(page: Any) -> list[tuple[str, Any]]:
    shows = ("Contours", "Map only", "Overlay")
    return [
        ("opacity, one whole drag", lambda turn: _drag(page, turn)),
        ("colour map", lambda turn: _colormap(page, turn)),
        ("overlay, map only, contours", lambda turn: page.get_by_text(shows[turn % 3]).click()),
        ("next or previous layer", lambda turn: _step(page, turn)),
    ]


def _drag(page: Any, turn: int) -> None:
    box = page.locator("input[type=range]").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + (0.2 if turn % 2 else 0.8) * box["width"], middle, steps=20)
    page.mouse.up()


def _colormap(page: Any, turn: int) -> None:
    choice = page.get_by_role("combobox", name="Colour map")
    choice.scroll_into_view_if_needed()
    page.wait_for_timeout(100)  # a list closes when what it stands on scrolls
    choice.click()
    # Each one for the first time: afterwards the pictures are kept, and cost next to nothing.
    page.get_by_role("option").nth(1 + turn % 5).click()


def _step(page: Any, turn: int) -> None:
    page.get_by_role("button", name="Next" if turn % 6 < 3 else "Previous").click()


def _cost(page: Any, pid: int, action: Any) -> float:
    """Milliseconds of CPU a change, the mean of many: the clock of a process ticks in 10 ms."""
    began = _cpu_seconds(pid)
    for turn in range(CHANGES):
        action(turn)
        _rest(page)
    spent = _cpu_seconds(pid) - began
    idle_began = _cpu_seconds(pid)
    for _ in range(CHANGES):
        _rest(page)
    idle = _cpu_seconds(pid) - idle_began
    return 1000 * (spent - idle) / CHANGES


def _cpu_seconds(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _rest(page: Any) -> None:
    page.wait_for_timeout(200)
    page.wait_for_selector(SETTLED)
    page.wait_for_timeout(150)


if __name__ == "__main__":
    main()
