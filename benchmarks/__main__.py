"""Run all benchmarks, or those named: `python -m benchmarks capture render`.

Each is a module of its own here and runs in a process of its own, so that none inherits another's
memory or threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main(wanted: list[str]) -> int:
    """Run the benchmarks; return the first failing exit status, or 0."""
    names = sorted(file.stem for file in FOLDER.glob("[!_]*.py"))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are {', '.join(names)}.", file=sys.stderr)
        return 2
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    statuses = []
    for name in wanted or names:
        print(f"\n## {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        run = subprocess.run(command, cwd=FOLDER.parent, env=environment, check=False)
        statuses.append(run.returncode)
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
