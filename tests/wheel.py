"""A wheel of this checkout, installed where nothing of the checkout is in reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = (
    ".streamlit",
    "cbam_viz",
    "checkpoints",
    "LICENSE",
    "MANIFEST.in",
    "pyproject.toml",
    "README.md",
    "setup.py",
)
"""What a source distribution holds. Built in a copy, because a build writes beside its sources."""


def build(folder: Path) -> Path:
    """Build the wheel in `folder` as pip does; give its path."""
    sources = folder / "sources"
    sources.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, sources / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, sources / name)
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=sources, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install it into an environment of its own, with this one's packages; give its `bin`.

    Those are on its path by name, so that no `.pth` file of theirs, which an editable install is,
    is read.
    """
    venv.create(folder, with_pip=False)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / Path(sys.executable).name
    site = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(site) / "host.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True, capture_output=True)
    return scripts


def environment() -> dict[str, str]:
    """Environment variables without those that lead back to the checkout."""
    leading = ("PYTHONPATH", "CBAM_VIZ_CHECKPOINTS")
    return {name: value for name, value in os.environ.items() if name not in leading}
