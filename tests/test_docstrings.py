"""Docstrings have one dialect; ruff knows Google's and takes NumPy's headings for text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNDERLINED = re.compile(
    r"^ +(Parameters|Returns|Yields|Raises|Attributes|Notes|Examples)\n +-{3,}$", re.MULTILINE
)


@pytest.mark.parametrize("part", ["cbam_viz", "training", "benchmarks", "tests", "examples"])
def test_no_heading_is_underlined(part: str) -> None:
    files = [path for path in (ROOT / part).rglob("*.py") if path != Path(__file__)]
    found = [str(path) for path in files if UNDERLINED.search(path.read_text(encoding="utf-8"))]
    assert not found
