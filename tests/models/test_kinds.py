"""What is no checkpoint is called what it is, with what to do about it; some that are, are read."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from cbam_viz.errors import CheckpointError
from cbam_viz.models.files import read_weights
from cbam_viz.models.shards import checkpoint_path
from cbam_viz.models.state import find_weights

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(4)}


def saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def zipped(names: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def repacked(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return zipped(parts, zipfile.ZIP_DEFLATED)


def tarred(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: tensor.numpy() for name, tensor in STATE.items()})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\n\n<!DocType HTML>\n<html>", "a web page, not weights"),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "text, neither safetensors"),
        (b"import torch\n", r"--model FILE\.py:FACTORY"),
        (b"Rar!\x1a\x07\0", "a RAR archive: unpack"),
        (b"\xfd7zXZ\0" + bytes(9), "an xz archive: unpack"),
        (b"BZh9" + bytes(9), "a bzip2 archive: unpack"),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "a Zstandard archive: unpack"),
        (b"\x1c\0\0\0TFL3" + bytes(9), "a TensorFlow Lite model"),
        (b"\x08\x0a:\0B\x02\x10\x15", "an ONNX or TensorFlow graph"),
        (b"\x93NUMPY\1\0", "a NumPy array, without the names"),
        (b"\xff" * 40, "neither safetensors nor a PyTorch checkpoint"),
        (tarred("runs/best.pth"), "a tar archive: unpack it"),
        (tarred("sys_info"), "the first versions of PyTorch"),
        (arrays(), r"NumPy arrays .*torch\.from_numpy"),
        (
            zipped({"a/archive_format": b"pt2", "a/models/model.json": b"{}"}),
            r"torch\.export\.load",
        ),
        (zipped({"metadata.json": b"{}", "model.weights.h5": b""}), "a Keras file"),
        (zipped({"best.pth": saved(STATE)}), "If it packs a checkpoint, unpack it first"),
        (repacked(saved(STATE)), r"compressed zip.*zip -0 -r"),
        (saved(3), "holds an int, not a network's weights. Save the weights with"),
        (saved(None), "holds nothing, not"),
        (saved({"module": None, "param_shapes": [], "ds_version": "0"}), "zero_to_fp32.py FOLDER"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(data: bytes, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        find_weights(read_weights(data).content)


def test_folders_of_trainings_on_many_machines_say_how_to_join_them(tmp_path: Path) -> None:
    for name, says in ((".metadata", "dcp_to_torch"), ("latest", r"zero_to_fp32\.py FOLDER")):
        folder = tmp_path / name.strip(".")
        folder.mkdir()
        (folder / name).write_bytes(b"")
        with pytest.raises(CheckpointError, match=says):
            checkpoint_path(folder)


def test_joblib_is_not_called_damaged() -> None:
    names = (
        b"\x80\4}\x8c\1a\x8c\x13joblib.numpy_pickle\x8c\x11NumpyArrayWrapper\x93)\x81" + b"\xff" * 8
    )
    with pytest.raises(CheckpointError, match="written by joblib"):
        read_weights(names)


def test_parts_of_a_distributed_tensor_are_named() -> None:
    call = b"\x80\x02ctorch._utils\n_rebuild_wrapper_subclass\n)R."
    with pytest.raises(CheckpointError, match=r"DTensor.*whole"):
        read_weights(call)


@pytest.mark.parametrize("content", [[STATE], (1, STATE), {"nets": [{"a": 1}, STATE]}])
def test_weights_in_a_short_list_are_found(content: object) -> None:
    found = find_weights(read_weights(saved(content)).content)
    assert found.tensors.keys() == STATE.keys()
    assert all(torch.equal(found.tensors[name], STATE[name]) for name in STATE)
    assert "in the file." in found.notes[0]


def test_older_files_of_protocol_1_are_read() -> None:
    data = saved(STATE, pickle_protocol=1, _use_new_zipfile_serialization=False)
    found = find_weights(read_weights(data).content).tensors
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
