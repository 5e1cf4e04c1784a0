"""Summaries kept beside a store, so that a page or a second command need not read all gates again.

They lie in `summaries/`, can be removed at any time, and count only for the very shards that they
were made of. Where the store takes no files, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cbam_viz.errors import StoreError
from cbam_viz.store.files import write_atomic
from cbam_viz.store.names import safe_name
from cbam_viz.store.zipped import arrays_zip

FOLDER = "summaries"
_MARK, _TOLD = "mark", "told"


def kept(
    store: Path, files: tuple[Path, ...], name: str, kind: type, make: Callable[[], Any]
) -> Any:
    """Return the `kind` (a dataclass of arrays and plain data) of that name, made if need be."""
    path = store / FOLDER / f"{safe_name(name)}.npz"
    mark = _mark(files)
    found = _read(path, mark, kind)
    if found is not None:
        return found
    made = make()
    with suppress(OSError, StoreError):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, _bytes(made, mark), force=True)
    return made


def _mark(files: tuple[Path, ...]) -> str:
    """Of the shards: their names, sizes and times."""
    from cbam_viz import __version__

    known = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([__version__, known]).encode()).hexdigest()


def _bytes(made: Any, mark: str) -> bytes:
    arrays: dict[str, Any] = {_MARK: np.array(mark)}
    told: dict[str, Any] = {}
    for field in fields(made):
        value = getattr(made, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, dict) and any(isinstance(one, np.ndarray) for one in value.values()):
            arrays |= {f"{field.name}/{key}": one for key, one in value.items()}
        else:
            told[field.name] = value
    return arrays_zip({**arrays, _TOLD: np.array(json.dumps(told))})


def _read(path: Path, mark: str, kind: type) -> Any:
    """What was kept; None if there is nothing, or it is of other shards or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file[_MARK]) != mark:
                return None
            values: dict[str, Any] = json.loads(str(file[_TOLD]))
            for key in set(file.files) - {_MARK, _TOLD}:
                name, _, part = key.partition("/")
                if part:
                    values.setdefault(name, {})[part] = file[key]
                else:
                    values[name] = file[key]
        known = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return kind(**known)
    except Exception:  # a damaged file: zipfile, zlib, NumPy and JSON have errors of their own
        return None
