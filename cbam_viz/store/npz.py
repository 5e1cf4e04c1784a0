"""Gates as one NPZ file: exact float32 values, their placement, and where they come from.

The file is readable with NumPy alone, without pickle:

    with np.load("gates.npz") as file:
        weights = file["layer1.0.se/channel"]            # (B, C)
        about = json.loads(str(file["cbam_viz"]))        # names, cells, geometry, versions
        shares = file["layer1.0.se/photo_share"]         # (h, w): of the photo, by each cell

Equal gates give equal bytes: entries are not compressed (floats hardly shrink) and carry no time.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Attention, LayerAttention
from cbam_viz.errors import StoreError
from cbam_viz.images import layer_shares
from cbam_viz.store.files import write_atomic
from cbam_viz.store.names import safe_names
from cbam_viz.store.provenance import Provenance, from_document, to_document, versions
from cbam_viz.store.rebuild import GATES, rebuild_attention
from cbam_viz.store.zipped import arrays_zip

SCHEMA = 1

DOCUMENT = "cbam_viz"
"""Key of the JSON text."""

SCALE = "gates as the network multiplied by them, float32, nothing rescaled"

MAX_BYTES = 2 * 1024**3
"""Of all arrays together; the gates of one photo take about 0.1 MB."""


@dataclass(frozen=True)
class Stored:
    """What a file held."""

    attention: Attention
    """Without features; `output` is the stored tensor, or None."""
    provenance: Provenance
    versions: dict[str, str]


def save_npz(
    target: str | Path | BinaryIO,
    attention: Attention,
    provenance: Provenance | None = None,
    *,
    force: bool = False,
) -> None:
    """Write all gates, and branches and descriptors where captured, of the whole batch.

    Where `provenance` says where the photo lies, each map has beside it the share of the photo that
    each of its cells covers: 0 in a border, so that a mean weighted by it is of the photo alone.
    Features are left out: they are large, and a forward makes them again. An existing file is
    overwritten only with `force`. Raises StoreError.
    """
    data = npz_bytes(attention, provenance)
    if isinstance(target, str | Path):
        write_atomic(target, data, force=force)
    else:
        target.write(data)


def npz_bytes(attention: Attention, provenance: Provenance | None = None) -> bytes:
    """The content of the file; equal for equal gates and provenance."""
    keys = safe_names(attention)
    provenance = provenance or Provenance()
    document = _document(attention, keys, provenance)
    entries: dict[str, npt.NDArray[Any]] = {DOCUMENT: np.array(document)}
    for name, layer in attention.items():
        for part, array in _arrays(layer):
            entries[f"{keys[name]}/{part}"] = array
        if layer.spatial is not None and provenance.geometry is not None:
            shares = layer_shares(layer, provenance.geometry)
            entries[f"{keys[name]}/photo_share"] = shares.astype(np.float32)
    output = _output(attention.output)
    if output is not None:
        entries["output"] = output
    return arrays_zip(entries)


def load_npz(source: str | Path | bytes | BinaryIO, *, max_bytes: int = MAX_BYTES) -> Stored:
    """Read what `save_npz` wrote; nothing in the file is executed. Raises StoreError."""
    label = Path(source).name if isinstance(source, str | Path) else "The file"
    try:
        arrays = _read_arrays(source, label, max_bytes)
        document = json.loads(str(arrays.pop(DOCUMENT)))
        _check_schema(document["schema"], label)
        attention = rebuild_attention(document["layers"], arrays, document)
        provenance = from_document(document["provenance"])
        return Stored(attention, provenance, {k: str(v) for k, v in document["versions"].items()})
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {label}. Check the path.") from error
    except Exception as error:
        # The file may hold anything: zip, NumPy, JSON and missing keys all raise their own kinds.
        raise StoreError(
            f"{label} is no NPZ file of cbam-viz, or is damaged ({error}). Save the gates again."
        ) from error


def _check_schema(schema: object, label: str) -> None:
    if schema != SCHEMA:
        raise StoreError(
            f"{label} was written by another version of cbam-viz (layout {schema!r}; this one "
            f"reads {SCHEMA}). Update cbam-viz."
        )


def _document(attention: Attention, keys: dict[str, str], provenance: Provenance) -> str:
    layers = {
        name: {"key": keys[name], **layer_document(layer)} for name, layer in attention.items()
    }
    document = {
        "schema": SCHEMA,
        "scale": SCALE,
        "input_size": list(attention.input_size),
        "layers": layers,
        "unsupported": [asdict(item) for item in attention.unsupported],
        "not_called": list(attention.not_called),
        "provenance": to_document(provenance),
        "versions": versions(),
    }
    try:
        return json.dumps(document, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"The provenance cannot be stored: {error}. Use strings, finite numbers and lists."
        ) from error


def layer_document(layer: LayerAttention) -> dict[str, Any]:
    """All of a layer but its gates, as plain data for JSON."""
    return {
        "module": layer.module,
        "call": layer.call,
        "stage": layer.stage,
        "block": layer.block,
        "composition": layer.composition,
        "found_by": layer.found_by,
        "verified": layer.verified,
        "dtype": str(layer.dtype),
        "cells": None if layer.cells is None else asdict(layer.cells),
    }


def _arrays(layer: LayerAttention) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for part, get in GATES.items():
        tensor = get(layer)
        if tensor is not None:
            yield part, tensor.numpy()


def _output(output: Any) -> npt.NDArray[Any] | None:
    """The model's output if it is one tensor; detached, float32."""
    import torch

    if not isinstance(output, torch.Tensor):
        return None
    return output.detach().to("cpu", torch.float32).numpy()


def _read_arrays(
    source: str | Path | bytes | BinaryIO, label: str, max_bytes: int
) -> dict[str, npt.NDArray[Any]]:
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with zipfile.ZipFile(stream) as archive:
        size = sum(info.file_size for info in archive.infolist())
        if size > max_bytes:
            raise StoreError(
                f"{label} would take {size / 2**20:.0f} MB; the limit is {max_bytes / 2**20:g}."
            )
        return {
            info.filename.removesuffix(".npy"): _read_array(archive, info)
            for info in archive.infolist()
        }


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    member = io.BytesIO(archive.read(info))
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError(f"{info.filename} is in another version of NumPy's format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    # Before NumPy reserves memory for whatever the header claims.
    if member.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
        raise ValueError(f"{info.filename} holds less than it claims")
    if dtype != np.float32 and dtype.kind != "U":
        raise ValueError(f"{info.filename} holds {dtype}, not float32")
    member.seek(0)
    array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array
