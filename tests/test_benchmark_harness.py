"""The harness counts what it should, on a clock that the test turns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _harness as harness


class Clock:
    """A clock that only the candidates move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def action(self, name: str, *seconds: float) -> harness.Action:
        """A candidate that takes these times in turn, then the last one."""
        left = list(seconds)

        def act() -> None:
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return act


def test_ratios_are_taken_round_by_round_and_the_median_counts() -> None:
    clock = Clock()
    base, other = harness.compare(
        {"base": clock.action("a", 1, 2, 10), "other": clock.action("b", 3, 2, 20)},
        rounds=3,
        warmup=0,
        clock=lambda: clock.now,
    )
    assert base.seconds == (1, 2, 10)
    assert base.ratio == 1
    assert other.ratios == (3, 1, 2)
    assert other.ratio == 2
    assert other.median == 3
    assert other.spread == (1.5, 2.5)


def test_candidates_take_turns_in_beginning() -> None:
    clock = Clock()
    candidates = {name: clock.action(name, 1.0) for name in "abc"}
    harness.compare(candidates, rounds=3, warmup=1, clock=lambda: clock.now)
    assert "".join(clock.order) == "abc" + "abc" + "bca" + "cab"


def test_a_time_is_of_one_call() -> None:
    clock = Clock()
    (timing,) = harness.compare(
        {"a": clock.action("a", 2.0)}, rounds=1, calls=5, warmup=0, clock=lambda: clock.now
    )
    assert timing.seconds == (2.0,)
    assert timing.spread == (1, 1)


def test_the_report_is_a_table_with_targets(capsys: pytest.CaptureFixture[str]) -> None:
    timings = [
        harness.Timing("bare", (0.1,), (1.0,)),
        harness.Timing("captured", (0.101,), (1.01,)),
    ]
    harness.report("Capture", timings, targets={"captured": 1.02})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "### Capture"
    assert [cell.strip() for cell in lines[6].split("|")[1:-1]] == [
        "captured", "101.00", "1.010", "1.010 to 1.010", "≤ 1.02",
    ]  # fmt: skip
    assert len({line.count("|") for line in lines[3:]}) == 1


def test_the_machine_is_named() -> None:
    assert "torch" in harness.machine(threads=1)
    assert "1 torch thread" in harness.machine(threads=1)


def started(*names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *names],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where benchmarks are looked for, instead of the project's own."""
    from benchmarks import __main__ as program

    monkeypatch.setattr(program, "FOLDER", tmp_path / "benchmarks")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "_harness.py").write_bytes(Path(harness.__file__).read_bytes())
    return tmp_path / "benchmarks"


def test_without_a_browser_the_app_is_skipped_in_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    pytest.importorskip("psutil")
    ended = started("app", PATH=str(tmp_path), PLAYWRIGHT_BROWSERS_PATH=str(tmp_path))
    assert ended.returncode == harness.SKIPPED  # it was asked for by name
    assert "Skipped: it needs a browser" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_cannot_run_does_not_keep_the_others_from_it(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import main

    (folder / "first.py").write_text("import surely_not_installed\n")
    (folder / "second.py").write_text("def main():\n    print('ran')\n")
    assert main([]) == 0
    told = capfd.readouterr()
    assert "Skipped: it needs surely_not_installed" in told.err
    assert "Traceback" not in told.err
    assert told.out.rstrip().endswith("ran")
    assert main(["first"]) == harness.SKIPPED
    (folder / "second.py").write_text("def main():\n    raise SystemExit(5)\n")
    assert main([]) == 5


@pytest.mark.parametrize("name", sorted(file.stem for file in Path("benchmarks").glob("[!_]*.py")))
def test_each_benchmark_can_be_imported_first(name: str) -> None:
    """timm fails beside a torchvision of another torch unless that is repaired before."""
    command = [sys.executable, "-c", f"import benchmarks.{name}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
