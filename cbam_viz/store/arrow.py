"""pyarrow, which Parquet needs, or the sentence on how to get it."""

from __future__ import annotations

import importlib
from typing import Any

from cbam_viz.errors import StoreError


def arrow() -> Any:
    """The module `pyarrow`. Raises StoreError where it is not installed."""
    return _imported("pyarrow")


def parquet() -> Any:
    """The module `pyarrow.parquet`. Raises StoreError where it is not installed."""
    return _imported("pyarrow.parquet")


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StoreError(
            f"Stores are Parquet files, for which pyarrow is needed ({error}). Install it: "
            'pip install "cbam-viz[batch]".'
        ) from error
