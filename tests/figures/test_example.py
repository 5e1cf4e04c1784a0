"""The example notebook runs and still gives what it shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbclient
import nbformat

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "attention.ipynb"


def test_the_example_notebook_runs_and_still_gives_what_it_shows(tmp_path: Path) -> None:
    saved, fresh = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    client = nbclient.NotebookClient(fresh, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path), env=environment)
    for old, new in zip(saved.cells, fresh.cells, strict=True):
        if old.cell_type == "code":
            assert kinds(new) == kinds(old)
            if "same" in old.metadata.get("tags", []):
                assert text(new) == text(old)


def kinds(cell: Any) -> list[list[str]]:
    """What a cell gave, by kind."""
    return [sorted(output.get("data", {"stream": 0})) for output in shown(cell)]


def text(cell: Any) -> list[str]:
    return [
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in shown(cell)
    ]


def shown(cell: Any) -> list[Any]:
    """Outputs without warnings, which depend on what else is installed."""
    return [output for output in cell.outputs if output.get("name") != "stderr"]
