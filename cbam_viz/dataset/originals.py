"""The photos themselves, for pictures beside numbers: a store needs them for nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from cbam_viz.batch.plan import Plan
from cbam_viz.batch.record import PLAN
from cbam_viz.batch.sources.opening import Opener
from cbam_viz.batch.sources.tables import Columns
from cbam_viz.dataset.reading import Store
from cbam_viz.errors import ImageError
from cbam_viz.images.reading import MAX_BYTES


def original(store: Store, photo: int) -> bytes | None:
    """The bytes of a photo's file, if that is still where the plan says, and still the same.

    A store may come from anybody and name any file of this machine. So bytes count only if they
    have the SHA-256 that the store has of them: whoever wrote it had that very photo.
    """
    rows = np.flatnonzero(np.asarray(store.photos["photo"]) == photo)
    if not rows.size:
        return None
    try:
        (item,) = Plan(store.path / PLAN, store.record.photos, "").items(photo, 1)
        inside = store.path / item.path  # as in the store that comes along
        if not Path(item.path).exists() and inside.exists():
            item = replace(item, path=str(inside))
        opener = Opener(Columns(store.record.fingerprint.get("image column")))
        try:
            found = opener.content(item)
        finally:
            opener.close()
        content = _of_file(found) if isinstance(found, Path) else found
    except (ImageError, OSError, ValueError, IndexError, KeyError, TypeError):
        return None
    known = store.photos["sha256"][int(rows[0])].as_py()
    return content if content and hashlib.sha256(content).hexdigest() == known else None


def _of_file(path: Path) -> bytes:
    """Empty for what is no ordinary file, and for one that no photo is as large as."""
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return b""
    return path.read_bytes()
