"""A store as one Parquet file that embedding-atlas opens: vectors, thumbnails, labels.

`embedding-atlas FILE --vector LAYER/channel --image image`, as `command` has it, makes the map of
points, which is its own work and not ours: https://apple.github.io/embedding-atlas/tool.html
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cbam_viz._whole import whole
from cbam_viz.dataset.originals import original
from cbam_viz.dataset.reading import Store
from cbam_viz.errors import CbamVizError, StoreError
from cbam_viz.images import read_photo
from cbam_viz.render import encode, fit_size, resize_photo
from cbam_viz.store.arrow import arrow, parquet

SIDE = 96
"""Longer side of a thumbnail in pixels."""
IMAGE = "image"
LEAST = 4
"""Photos that UMAP makes a map of."""
_TOLD = ("photo", "name", "sha256", "label", "prediction", "probability")


def export_atlas(
    store: Store,
    path: Path,
    layers: Sequence[str] = (),
    *,
    thumbnails: bool = True,
    force: bool = False,
    tick: Callable[[int], object] = lambda count: None,
) -> dict[str, int]:
    """Write a row a photo, shard by shard; return the columns that hold vectors, each with how many
    photos have none there.

    Columns: `photo`, `name`, `sha256`, `label`, `prediction`, `probability`; `image`, a JPEG as
    Hugging Face's data sets have it ({bytes, path}), null where the photo is no longer where it was
    or has changed; and `LAYER/channel`, a list of its channel weights, of each layer or of
    `layers`, null where the layer did not run or a weight is not finite, which no map of points
    takes. `tick` is told of photos that are done.

    Raises StoreError for a layer without channel weights, and where the file cannot be written.
    """
    known = [layer for layer, _ in store.gates("channel")]
    for layer in layers:
        store.shape(layer, "channel")
    vectors = {f"{layer}/channel": 0 for layer in (layers or known)}
    if not vectors:
        raise StoreError(f"{store.path} has no channel weights, which would be the vectors.")
    pa, pq = arrow(), parquet()
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = {"photo": pa.int64(), "probability": pa.float64()}
    fields = [(name, kinds.get(name, pa.string())) for name in _TOLD]
    fields += [(IMAGE, image)] if thumbnails else []
    fields += [(name, pa.list_(pa.float32())) for name in vectors]
    schema = pa.schema(fields)
    try:
        with (
            whole(path, force=force) as part,
            pq.ParquetWriter(part, schema, compression="zstd") as writer,
        ):
            for file in store.files:
                table = store.read(file, [*_TOLD, *vectors])
                columns: dict[str, Any] = {name: table[name] for name in _TOLD}
                if thumbnails:
                    rows = table.select(["photo", "name"]).to_pylist()
                    columns[IMAGE] = pa.array([_thumbnail(store, **row) for row in rows], image)
                for name in vectors:
                    columns[name] = found = _finite(table[name].cast(pa.list_(pa.float32())))
                    vectors[name] += found.null_count
                writer.write_table(pa.table(columns, schema=schema))
                tick(table.num_rows)
    except FileExistsError as error:
        raise StoreError(f"{path} exists. Choose another name, or overwrite it.") from error
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} cannot be written: {error}. Make room, or choose another place."
        ) from error
    return vectors


def command(path: Path, vectors: Mapping[str, int], *, thumbnails: bool = True) -> str:
    """What opens the file, for a shell: by the last layer's vectors, of photos that have one."""
    vector = list(vectors)[-1]
    words = ["embedding-atlas", str(path), "--vector", vector]
    if thumbnails:
        words += ["--image", IMAGE]
    if vectors[vector]:
        name = vector.replace('"', '""')
        words += ["--query", f'SELECT * FROM data WHERE "{name}" IS NOT NULL']
    return shlex.join(words)


def _finite(vectors: Any) -> Any:
    """The lists of a column as one array, null where a value is not finite."""
    one = vectors.combine_chunks()
    there = [row is not None and bool(np.isfinite(row).all()) for row in one.to_numpy(False)]
    return arrow().array(one.to_numpy(False), one.type, mask=~np.array(there, bool))


def _thumbnail(store: Store, photo: int, name: str) -> dict[str, Any] | None:
    content = original(store, photo)
    if content is None:
        return None
    try:
        shown = read_photo(content)
    except CbamVizError:
        return None
    pixels = resize_photo(shown.shown, fit_size(shown.size, SIDE))
    return {"bytes": encode(pixels, "jpeg"), "path": name}
