"""How far a run is: lines where nobody looks on, a bar at a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cbam_viz.cli import progress
from cbam_viz.cli.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_in_a_log(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    told = Progress()
    told.begin(5000, 1000)
    for seconds, photos in ((30, 300), (30, 300), (59, 600), (1, 0), (4000, 2800)):
        clock[0] += seconds
        told.advance(photos)
    told.say("Skipped a.jpg: it is empty.")
    told.close()
    printed = capsys.readouterr()
    # 600 in 60 s: ten a second, and 3,400 are left.
    assert printed.err.splitlines() == [
        "1,600 of 5,000 photos, 10.0 a second, 05:40 left.",
        "2,200 of 5,000 photos, 10.0 a second, 04:40 left.",
        "Skipped a.jpg: it is empty.",
    ]
    assert printed.out == ""


def test_a_bar_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    told = Progress()
    told.begin(20, 5)
    told.advance(15)
    told.say("Skipped")
    told.broken(Path("store"))
    told.close()
    assert "20/20" in terminal.getvalue()
    assert "What was done is in store" in terminal.getvalue()


def test_nothing_is_said_of_a_run_that_has_nothing_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = Progress()
    told.begin(20, 20)
    told.broken(Path("store"))
    told.close()
    assert capsys.readouterr().err == ""
