"""Archives are the same on every system and at every time."""

from __future__ import annotations

import io
import sys
import zipfile

import numpy as np
import pytest

from cbam_viz.store import arrays_zip, zip_bytes


def test_the_bytes_do_not_depend_on_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b c": np.array("text")}
    here = zip_bytes({"x.txt": b"1"}), arrays_zip(arrays)
    # `zipfile.ZipInfo` asks this name when it is made.
    monkeypatch.setattr(sys, "platform", "win32")
    assert (zip_bytes({"x.txt": b"1"}), arrays_zip(arrays)) == here
    with zipfile.ZipFile(io.BytesIO(here[0])) as archive:
        (info,) = archive.infolist()
        assert (info.create_system, info.external_attr >> 16) == (3, 0o644)
        assert info.date_time == (1980, 1, 1, 0, 0, 0)


def test_arrays_come_back() -> None:
    array = np.asfortranarray(np.random.default_rng(0).random((3, 4)))
    with np.load(io.BytesIO(arrays_zip({"a": array})), allow_pickle=False) as loaded:
        assert np.array_equal(loaded["a"], array)
