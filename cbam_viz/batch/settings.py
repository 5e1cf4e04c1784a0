"""What a store was made with, and what must be the same for a run that goes on with it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbam_viz.batch.plan import ROWS
from cbam_viz.batch.sources.labels import AUTO
from cbam_viz.batch.sources.tables import Columns
from cbam_viz.errors import StoreError
from cbam_viz.store.precision import Precision
from cbam_viz.store.shards import FORM

if TYPE_CHECKING:
    from cbam_viz.images import InputSpec, View
    from cbam_viz.models import LoadedModel

BATCH, LARGE_BATCH, GPU_BATCH = 16, 8, 64
"""Photos in one forward, of large inputs, and on a GPU. With one thread torch gives convolutions of
1 x 1 to oneDNN from sixteen photos on, which takes a ResNet-50 a quarter less time a photo than by
eight; by 32 it takes hardly less. Compiled it takes the same from four on."""
_LARGE = 320 * 320
"""Pixels; of larger inputs sixteen together take a gigabyte and more a process."""
SMALLEST, LARGEST = 8, ROWS
"""Photos in a shard."""
_SHARDS = 8
"""At least so many, where photos are few: so that several processes have work."""


@dataclass(frozen=True)
class Settings:
    """What is asked for; everything here decides what is in the store."""

    view: View
    precision: Precision = "float16"
    labels: str = AUTO
    columns: Columns = field(default_factory=Columns)
    window: tuple[float, float] | None = None
    """Values that are black and white, of images of more than 8 bits; None: the network's."""
    index: int | None = None
    """Which slice of a volume."""
    batch: int | None = None
    """Photos in one forward; None: what suits the device."""
    fast: tuple[str, ...] = ()
    """What is done for speed (`fast.WAYS`)."""
    device: str | None = None
    """`cpu` or `cuda`; None: the GPU if there is one."""


@dataclass(frozen=True)
class Part:
    """Which shards are this run's: every `of`-th, from the `number`-th on."""

    number: int = 1
    of: int = 1

    def shards(self, total: int) -> range:
        """Its shards, of `total`."""
        return range(self.number - 1, total, self.of)

    @property
    def name(self) -> str:
        """As in `3-of-16`; empty for all."""
        return "" if self.of == 1 else f"{self.number}-of-{self.of}"


def shard_size(count: int) -> int:
    """Photos in a shard of a plan of `count`: by that alone, so that all machines agree."""
    size = SMALLEST
    while size < LARGEST and size * _SHARDS < count:
        size *= 2
    return size


def batch_size(settings: Settings, spec: InputSpec, device: str) -> int:
    """Photos in one forward: as asked, else what suits inputs and device."""
    if settings.batch is not None:
        return settings.batch
    if device == "cuda":
        return GPU_BATCH
    small = not spec.varies(settings.view) and spec.size[0] * spec.size[1] <= _LARGE
    return BATCH if small else LARGE_BATCH


def network_parts(loaded: LoadedModel, code: str | None = None) -> dict[str, str]:
    """What makes a network the one that it is, each as a text; `code` names the user's own code.

    Digests of weights and of the source of its parts, its input and its class names.
    """
    from cbam_viz.models.loaded import weights_sha256

    parts = [f"{name} {type(part).__qualname__}" for name, part in loaded.model.named_modules()]
    modules = {type(part).__module__ for part in loaded.model.modules()}
    paths = {getattr(sys.modules.get(module), "__file__", None) for module in modules}
    if code is not None:
        name = code.rpartition(":")[0]
        paths.add(getattr(sys.modules.get(name), "__file__", name))
    sources = sorted(_digest_of(Path(path)) for path in paths if path)
    classes = None if loaded.classes is None else list(loaded.classes)
    return {
        "network": loaded.name,
        "checkpoint": loaded.sha256 or "",
        "weights": weights_sha256(loaded.model),
        "structure and code": _digest(parts, sources),
        "input": json.dumps(asdict(loaded.spec), sort_keys=True),
        "class names": _digest(classes),
    }


def fingerprint(settings: Settings, loaded: LoadedModel, code: str | None) -> dict[str, str]:
    """All that decides the bits of a store but its photos, by what people call it."""
    asked = {
        "view": settings.view,
        "precision": settings.precision,
        "window": json.dumps(settings.window),
        "slice": json.dumps(settings.index),
        "fast ways": " ".join(settings.fast) or "none",
        "form of shards": FORM,
    }
    if settings.columns.image is not None:
        asked["image column"] = settings.columns.image
    return {**versions_used(), **network_parts(loaded, code), **asked}


def versions_used() -> dict[str, str]:
    """The packages that decide the bits, by what people call it."""
    import PIL

    from cbam_viz.store.provenance import versions

    computing = {**versions(), "pillow": PIL.__version__}
    return {f"version of {name}": version for name, version in computing.items()}


def refuse_other(store: Path, made_with: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise StoreError, with what differs, unless a store was made with what is asked for now."""
    differing = [key for key in {**made_with, **now} if made_with.get(key) != now.get(key)]
    if not differing:
        return
    told = "; ".join(_difference(key, made_with.get(key), now.get(key)) for key in differing)
    raise StoreError(
        f"{store} was begun with something else, and a store is of one kind. What differs: {told}. "
        "Give what it was begun with, or another --out."
    )


def _difference(key: str, before: str | None, now: str | None) -> str:
    if key == "photos and labels":
        return "the photos, their order or their labels"
    short = [text is not None and len(text) <= 60 for text in (before, now)]
    digests = key in ("weights", "structure and code", "class names", "checkpoint")
    if all(short) and not digests:
        return f"{key} ({before} there, {now} now)"
    return key


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode("utf-8", "surrogatepass")).hexdigest()
