"""Run all benchmarks, or those named: `python -m benchmarks capture render`.

Each is a module of its own here and runs in a process of its own, so that none inherits another's
memory or threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks._harness import SKIPPED

FOLDER = Path(__file__).parent


def main(wanted: list[str]) -> int:
    """Run the benchmarks; return the first failing exit status, or 0.

    One that cannot run here says what it lacks; that is a failure where it was asked for by name.
    """
    names = sorted(file.stem for file in FOLDER.glob("[!_]*.py"))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are {', '.join(names)}.", file=sys.stderr)
        return 2
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    statuses = []
    for name in wanted or names:
        print(f"\n## {name}", flush=True)
        command = [sys.executable, "-c", f"from benchmarks._harness import run; run({name!r})"]
        run = subprocess.run(command, cwd=FOLDER.parent, env=environment, check=False)
        statuses.append(run.returncode)
    fine = (0,) if wanted else (0, SKIPPED)
    return next((status for status in statuses if status not in fine), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
