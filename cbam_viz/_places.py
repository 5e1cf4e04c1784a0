"""Where the networks that come with the package lie, and what its photos are called."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "CBAM_VIZ_CHECKPOINTS"
STORES_VARIABLE = "CBAM_VIZ_STORES"
RUNS_VARIABLE = "CBAM_VIZ_RUNS"
SAMPLE = "sample:"
"""`sample:cat` is one of the photos that come along: on the command line and in manifests."""
PACKAGE = Path(__file__).resolve().parent


def checkpoints_folder() -> Path:
    """Return the folder that is named in $CBAM_VIZ_CHECKPOINTS, else the one that came along.

    That is `checkpoints` in a checkout's root or, installed from a wheel, in the package. Where
    there is neither, it is `checkpoints` in the working directory.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    is_checkout = (PACKAGE.parent / "pyproject.toml").is_file()
    beside = (PACKAGE.parent if is_checkout else PACKAGE) / "checkpoints"
    return beside if beside.is_dir() else Path("checkpoints")


def stores_folder() -> Path:
    """Return the folder whose stores the app offers: that of $CBAM_VIZ_STORES, else `stores`.

    It need not be there. `photos` in it holds folders of photos to make stores of.
    """
    return Path(os.environ.get(STORES_VARIABLE) or "stores")


def runs_folder() -> Path:
    """Return the folder whose training runs the app offers: that of $CBAM_VIZ_RUNS, else `runs`.

    It need not be there.
    """
    return Path(os.environ.get(RUNS_VARIABLE) or "runs")


def absolute(path: Path) -> Path:
    """Without `..`, and with links as they stand: a folder of links has names of its own."""
    return Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links
