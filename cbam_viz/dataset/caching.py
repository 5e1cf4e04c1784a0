"""Summaries kept beside a store, so that a page or a second command need not read all gates again.

They lie in `summaries/`, can be removed at any time, and count only for the very shards that they
were made of. Where the store takes no files, nothing is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cbam_viz._places import PACKAGE
from cbam_viz.batch.record import SUMMARIES
from cbam_viz.errors import StoreError
from cbam_viz.store.files import write_atomic
from cbam_viz.store.names import safe_name
from cbam_viz.store.zipped import arrays_zip

_TOLD = "told"
"""Member of the file that holds, as JSON, these three."""
_VERSION, _MARKS, _PLAIN = "version", "marks", "plain"


def kept(
    store: Path, files: tuple[Path, ...], name: str, kind: type, make: Callable[[], Any]
) -> Any:
    """Return the `kind` (a dataclass of arrays and plain data) of that name, made if need be."""
    marks = marks_of(files)
    known, found = read_kept(store, name, kind) or ((), None)
    if found is not None and known == marks:
        return found
    made = make()
    write_kept(store, name, marks, made)
    return made


def marks_of(files: tuple[Path, ...]) -> tuple[str, ...]:
    """What tells each shard from another one of that name: its size and time."""
    told = ((file.name, file.stat()) for file in files)
    return tuple(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in told)


def write_kept(store: Path, name: str, marks: tuple[str, ...], made: Any) -> None:
    """Keep what was made of the shards of these marks. What comes along is left as it is."""
    if PACKAGE in store.resolve().parents:
        return
    path = _path(store, name)
    with suppress(OSError, StoreError):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, _bytes(made, marks), force=True)


def read_kept(store: Path, name: str, kind: type) -> tuple[tuple[str, ...], Any] | None:
    """What was kept, and of which shards; None if there is nothing, or it is damaged."""
    try:
        with np.load(_path(store, name), allow_pickle=False) as file:
            told = json.loads(str(file[_TOLD]))
            if told[_VERSION] != _version():
                return None
            values: dict[str, Any] = told[_PLAIN]
            for key in set(file.files) - {_TOLD}:
                field, _, part = key.partition("/")
                if part:
                    values.setdefault(field, {})[part] = file[key]
                else:
                    values[field] = file[key]
        known = {
            field: tuple(value) if isinstance(value, list) else value
            for field, value in values.items()
        }
        return tuple(told[_MARKS]), kind(**known)
    except Exception:  # a damaged file: zipfile, zlib, NumPy and JSON have errors of their own
        return None


def has_kept(store: Path, name: str) -> bool:
    """Whether there is a file of that name; not, whether it is of these shards."""
    return _path(store, name).is_file()


def _version() -> str:
    from cbam_viz import __version__  # which imports all this

    return __version__


def _path(store: Path, name: str) -> Path:
    return store / SUMMARIES / f"{safe_name(name)}.npz"


def _bytes(made: Any, marks: tuple[str, ...]) -> bytes:
    arrays: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for field in fields(made):
        value = getattr(made, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, dict) and any(isinstance(one, np.ndarray) for one in value.values()):
            arrays |= {f"{field.name}/{key}": one for key, one in value.items()}
        else:
            plain[field.name] = value
    told = {_VERSION: _version(), _MARKS: marks, _PLAIN: plain}
    return arrays_zip({**arrays, _TOLD: np.array(json.dumps(told))})
