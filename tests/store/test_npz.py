"""What goes in comes out, bit for bit, and nothing else comes out."""

from __future__ import annotations

import io
import json
import pickle
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cbam_viz import StoreError
from cbam_viz.store import Provenance, load_npz, npz_bytes, save_npz
from tests.store.helpers import NAMES, PROVENANCE, attention


def same(first: torch.Tensor | None, second: torch.Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.dtype == second.dtype and torch.equal(
        first.view(torch.int32), second.view(torch.int32)
    )


def test_everything_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "gates.npz"
    before = attention()
    save_npz(path, before, PROVENANCE)
    stored = load_npz(path)
    after = stored.attention
    assert list(after) == NAMES
    for name, layer in before.items():
        other = after[name]
        assert same(layer.channel, other.channel)
        assert same(layer.spatial, other.spatial)
        assert (layer.branches is None) == (other.branches is None)
        if layer.branches and other.branches:
            assert same(layer.branches.average, other.branches.average)
            assert same(layer.branches.maximum, other.branches.maximum)
        if layer.descriptors and other.descriptors:
            assert same(layer.descriptors.mean, other.descriptors.mean)
            assert same(layer.descriptors.maximum, other.descriptors.maximum)
        blank: dict[str, Any] = dict.fromkeys(("channel", "spatial", "branches", "descriptors"))
        assert replace(layer, **blank) == replace(other, **blank)
    assert same(before.output, after.output)
    assert after.input_size == (224, 320)
    assert after.unsupported == before.unsupported
    assert after.not_called == before.not_called
    assert stored.provenance == PROVENANCE
    assert (
        stored.versions["torch"] == torch.__version__.partition("+")[0]
        or "+" in (stored.versions["torch"])
    )
    assert set(stored.versions) == {"cbam_viz", "torch", "timm", "numpy"}


def test_numpy_alone_reads_it_without_pickle() -> None:
    before = attention()
    with np.load(io.BytesIO(npz_bytes(before, PROVENANCE)), allow_pickle=False) as file:
        np.testing.assert_array_equal(
            file["layer1.0.se/channel"], before["layer1.0.se"].channel.numpy()
        )
        np.testing.assert_array_equal(
            file["layer1.0.se#2/spatial"], before["layer1.0.se#2"].spatial.numpy()
        )
        about = json.loads(str(file["cbam_viz"]))
        shares = file["layer1.0.se/photo_share"]
    # Rows at 0.5 and 32.5 of 224: the first ends at 16.5. Columns at 1/3, 16 5/6, 33 1/3.
    rows, columns = (np.array(of) / 224 for of in ([16.5, 207.5], [8.58333, 16.5, 198.91667]))
    np.testing.assert_allclose(shares, np.outer(rows, columns), atol=1e-6)
    assert about["scale"] == "gates as the network multiplied by them, float32, nothing rescaled"
    assert about["provenance"]["photo_sha256"] == "cd" * 32
    assert about["provenance"]["geometry"]["offset_y"] == 18.75
    assert about["layers"]["layer1.0.se"]["cells"]["stride_x"] == 16.5


def test_members_stay_inside_the_folder_they_are_unpacked_to() -> None:
    with zipfile.ZipFile(io.BytesIO(npz_bytes(attention()))) as archive:
        names = archive.namelist()
    assert len(names) == len({name.casefold() for name in names})
    for name in names:
        assert ".." not in name.split("/")
        assert not name.startswith("/")
        assert "\\" not in name
        assert len(name.split("/")) <= 2


def test_equal_gates_give_equal_bytes_whatever_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = npz_bytes(attention(), PROVENANCE)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2_000_000_000))
    assert npz_bytes(attention(), PROVENANCE) == first
    changed = attention()
    changed["layer1.0.se"].spatial[0, 0, 0] += 1e-7  # type: ignore[index]
    assert npz_bytes(changed, PROVENANCE) != first


def test_other_outputs_and_no_provenance() -> None:
    stored = load_npz(npz_bytes(replace(attention(), output={"out": torch.zeros(1)})))
    assert stored.attention.output is None
    assert stored.provenance == Provenance()
    half = replace(attention(), output=torch.ones(1, 2, dtype=torch.bfloat16, requires_grad=True))
    assert load_npz(npz_bytes(half)).attention.output.tolist() == [[1.0, 1.0]]
    nothing = replace(attention(), layers={})
    assert len(load_npz(npz_bytes(nothing)).attention) == 0


def test_streams(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    save_npz(buffer, attention())
    assert buffer.getvalue() == npz_bytes(attention())
    buffer.seek(0)
    assert list(load_npz(buffer).attention) == NAMES


def test_no_overwriting_without_force(tmp_path: Path) -> None:
    path = tmp_path / "gates.npz"
    path.write_text("precious")
    with pytest.raises(StoreError, match="exists"):
        save_npz(path, attention())
    assert path.read_text() == "precious"
    save_npz(path, attention(), force=True)
    assert list(load_npz(path).attention) == NAMES


def test_provenance_that_is_no_plain_data() -> None:
    for extra in ({"model": object()}, {"share": float("nan")}, {1j: 2}):
        with pytest.raises(StoreError, match="provenance"):
            npz_bytes(attention(), Provenance(extra=extra))  # type: ignore[arg-type]


def rewritten(**changes: Any) -> bytes:
    """A valid file with the document's entries changed; None removes one."""
    with np.load(io.BytesIO(npz_bytes(attention(), PROVENANCE))) as file:
        arrays = {key: file[key] for key in file.files}
    document = json.loads(str(arrays["cbam_viz"]))
    document.update({key: value for key, value in changes.items() if value is not None})
    for key in [key for key, value in changes.items() if value is None]:
        del document[key]
    arrays["cbam_viz"] = np.array(json.dumps(document))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


LAYER = {
    "key": "layer1.0.se",
    "module": "m",
    "call": 1,
    "stage": "s",
    "composition": "parallel",
    "found_by": "hook",
    "verified": True,
    "dtype": "torch.float32",
    "cells": None,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": None},
        {"layers": {"a": {}}},
        {"layers": {"a": {**LAYER, "composition": "magic"}}},
        {"layers": {"a": {**LAYER, "dtype": "torch.load"}}},
        {"layers": {"a": {**LAYER, "cells": {"stride_y": 1, "nonsense": 2}}}},
        {"layers": {"a": {**LAYER, "key": ["unhashable"]}}},
        {"layers": [1, 2]},
        {"input_size": [1, 2, 3]},
        {"input_size": "large"},
        {"provenance": {"geometry": {"view": "all"}}},
        {"provenance": {"geometry": 5}},
        {"provenance": 5},
        {"unsupported": [{}]},
        {"versions": None},
        {"schema": None},
    ],
)
def test_documents_that_do_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(StoreError):
        load_npz(rewritten(**changes))


def test_files_of_another_layout() -> None:
    with pytest.raises(StoreError, match="another version of cbam-viz"):
        load_npz(rewritten(schema=99))


class Bang:
    """Runs code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("bang"),))


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy_header(shape: str, descr: str = "<f4") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def hostile() -> list[bytes]:
    pickled = io.BytesIO()
    np.save(pickled, np.array([Bang()], dtype=object), allow_pickle=True)
    plain = io.BytesIO()
    np.savez(plain, a=np.zeros(3, np.float32))
    return [
        b"",
        b"PK\x03\x04",
        b"not a zip",
        pickle.dumps(Bang()),
        zipped(cbam_viz=pickled.getvalue()),
        zipped(cbam_viz=npy_header("(1000000000000,)")),
        zipped(cbam_viz=npy_header("(-1,)")),
        zipped(cbam_viz=b"\x93NUMPY\x09\x00"),
        plain.getvalue(),
        npz_bytes(attention())[:2000],
    ]


@pytest.mark.parametrize("data", hostile())
def test_hostile_files(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="no NPZ file of cbam-viz, or is damaged"):
        load_npz(data)
    assert not Path("bang").exists()


def test_headers_that_claim_more_than_there_is_reserve_no_memory() -> None:
    with pytest.raises(StoreError, match="holds less than it claims"):
        load_npz(zipped(cbam_viz=npy_header("(400000000,)")))


def test_zip_bombs_are_not_unpacked() -> None:
    bomb = zipped(cbam_viz=npy_header("(5000000,)") + b"\0" * 2 * 10**7)
    assert len(bomb) < 10**6
    with pytest.raises(StoreError, match="would take 19 MB; the limit is 1"):
        load_npz(bomb, max_bytes=2**20)


VALID = npz_bytes(attention(), PROVENANCE)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(VALID) - 1), st.integers(0, 255))
def test_damaged_files_are_store_errors_or_read(position: int, byte: int) -> None:
    data = bytearray(VALID)
    data[position] = byte
    try:
        stored = load_npz(bytes(data))
    except StoreError:
        return
    assert list(stored.attention) == NAMES


def test_missing_files() -> None:
    with pytest.raises(StoreError, match=r"no file nothing\.npz"):
        load_npz("nowhere/nothing.npz")
