"""Compare ways of doing one thing fairly on a machine that is not quiet.

Times drift with temperature, other load and memory; ratios taken in the same minute do not. So the
candidates run in turn (A B C, then B C A, ...), each round gives one time for each, and what counts
is the median over rounds of each round's ratio to the baseline.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

Action = Callable[[], object]

SKIPPED = 77
"""Exit status of a benchmark that cannot run here, as test programs of Automake have it."""


@dataclass(frozen=True)
class Timing:
    """One candidate's times over all rounds, in seconds a call."""

    name: str
    seconds: tuple[float, ...]
    """CPU time of the process (all threads), or wall time where the comparison asked for it."""
    ratios: tuple[float, ...]
    """To the baseline's time in the same round."""

    @property
    def median(self) -> float:
        """Median seconds a call."""
        return statistics.median(self.seconds)

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios to the baseline."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile of the ratios: half of the rounds lie between them."""
        if len(self.ratios) < 2:
            return self.ratio, self.ratio
        first, _, third = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return first, third


def compare(
    candidates: Mapping[str, Action],
    *,
    rounds: int = 15,
    calls: int = 1,
    warmup: int = 2,
    clock: Callable[[], float] = time.process_time,
) -> list[Timing]:
    """Time the candidates interleaved; the first is the baseline.

    `clock` is the process's CPU time, which other processes disturb least; hand in
    `time.perf_counter` where waiting or worker processes are part of what is measured.
    """
    actions = list(candidates.items())
    for _ in range(warmup):
        for _, action in actions:
            action()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds):
        start = turn % len(actions)
        for name, action in actions[start:] + actions[:start]:
            seconds[name].append(_time(action, calls, clock))
    baseline = seconds[actions[0][0]]
    return [
        Timing(
            name,
            tuple(times),
            tuple(mine / base for mine, base in zip(times, baseline, strict=True)),
        )
        for name, times in seconds.items()
    ]


def _time(action: Action, calls: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(calls):
        action()
    return (clock() - began) / calls


def report(
    title: str, timings: Sequence[Timing], *, targets: Mapping[str, float] | None = None
) -> None:
    """Print a Markdown table: time a call, ratio to the first row, its quartiles, its target."""
    targets = targets or {}
    rows = [("", "ms a call", "ratio", "half of the rounds", "target")]
    for timing in timings:
        low, high = timing.spread
        target = f"≤ {targets[timing.name]:g}" if timing.name in targets else ""
        spread = f"{low:.3f} to {high:.3f}"
        rows.append(
            (timing.name, f"{timing.median * 1000:.2f}", f"{timing.ratio:.3f}", spread, target)
        )
    print(f"\n### {title}\n")
    print(table(rows))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown table of `rows`, the first being the head; columns are aligned in plain text too."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def skip(missing: str) -> NoReturn:
    """End this benchmark, saying what it lacks; the others go on."""
    print(f"Skipped: {missing}", file=sys.stderr, flush=True)
    raise SystemExit(SKIPPED)


def run(name: str) -> None:
    """Run the benchmark of that name in this process; skip it where a package is missing."""
    try:
        main = importlib.import_module(f"benchmarks.{name}").main
    except ModuleNotFoundError as error:
        skip(f"it needs {error.name}. Install: pip install {error.name}")
    main()


def needs(*packages: str) -> None:
    """Skip this benchmark, before it has measured anything, unless the packages are installed."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if absent:
        skip(f"it needs {', '.join(absent)}. Install: pip install {' '.join(absent)}")


def machine(threads: int | None = None) -> str:
    """One line that names the machine and the versions, to print above the tables."""
    import torch

    threads = torch.get_num_threads() if threads is None else threads
    return (
        f"{_processor()}, {os.cpu_count()} cores, {threads} torch thread(s), {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
