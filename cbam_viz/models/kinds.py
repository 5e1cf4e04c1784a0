"""What a file or a folder is that holds no weights as they are read here, and what to do then."""

from __future__ import annotations

import re
from pathlib import Path

from cbam_viz._text import quoted
from cbam_viz.errors import CheckpointError
from cbam_viz.inert.nodes import HOW_TO_CONVERT

UPLOADS = (
    "An upload is one file; for the app, put the folder with index and shards into checkpoints/."
)
_JSON = (
    "The file is JSON, which describes weights and holds none. Of a checkpoint in shards, name the "
    f"index where the shards lie beside it, or their folder. {UPLOADS} Else give the .safetensors, "
    ".pth or .pt file."
)
_GIVE = "Give a .safetensors, .pth or .pt file."
_EXPORT = "Give the weights that it was exported from."
_PAGE = "a web page, not weights: the download link led to a page. Download the file itself."

_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull."),
    (b"<!doctype", _PAGE),
    (b"<html", _PAGE),
    (b"\x89hdf", f"a Keras/HDF5 file; only PyTorch weights can be read. {_GIVE}"),
    (b"\x89png", f"a PNG picture. {_GIVE}"),
    (b"\xff\xd8\xff", f"a JPEG picture. {_GIVE}"),
    (b"%pdf", f"a PDF document. {_GIVE}"),
    (b"gguf", f"a GGUF language model, not a network for images. {_GIVE}"),
    (b"\x1f\x8b", "a gzip archive: unpack it first."),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first."),
    (b"rar!", "a RAR archive: unpack it first."),
    (b"\xfd7zxz", "an xz archive: unpack it first."),
    (b"bzh", "a bzip2 archive: unpack it first."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it first."),
    (b"\x93numpy", f"a NumPy array, without the names that a network's weights have. {_GIVE}"),
    (b"matlab 5", f"a MATLAB file. {_GIVE}"),
    (b"ptrt", f"a TensorRT engine, which is made for one machine. {_EXPORT}"),
    (b"mz", f"a program. {_GIVE}"),
    (b"\x7felf", f"a program. {_GIVE}"),
)
"""First bytes, in small letters."""
_PROTOBUF = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x3a]")
_OLD_TAR = ("sys_info", "pickle", "tensors", "storages")
"""What is in the tar archives of PyTorch's first versions."""


def not_weights(start: bytes) -> CheckpointError:
    """The refusal of a file by its first bytes, some hundred."""
    begins = start.lstrip()
    known = next((what for magic, what in _STARTS if begins.lower().startswith(magic)), "")
    if begins[:1] == b"{":
        return CheckpointError(_JSON)
    if start[257:262] == b"ustar":
        return _tar(start)
    if start[4:8] == b"TFL3":
        known = f"a TensorFlow Lite model. {_EXPORT}"
    elif _PROTOBUF.match(start):
        known = f"an ONNX or TensorFlow graph by its start, not PyTorch weights. {_EXPORT}"
    elif not known and (text := _text(begins)):
        known = (
            "text, neither safetensors nor a PyTorch checkpoint; it begins with "
            f"{quoted(text, 40)}. If it was downloaded, the link led to something else. A "
            "network's code is shown by --model FILE.py:FACTORY."
        )
    if known:
        return CheckpointError(f"The file is {known}")
    return CheckpointError(
        "The file is neither safetensors nor a PyTorch checkpoint (or it is cut off at the "
        f"start). {_GIVE}"
    )


def _tar(start: bytes) -> CheckpointError:
    first = start[:100].partition(b"\0")[0].decode("utf-8", "replace").strip("./")
    if first not in _OLD_TAR:
        return CheckpointError(
            "The file is a tar archive: unpack it, and give the checkpoint that is in it."
        )
    return CheckpointError(
        "The file is a tar archive, as the first versions of PyTorch wrote; that layout is not "
        f"read. {HOW_TO_CONVERT}"
    )


def _text(start: bytes) -> str:
    """The first line, if what begins so is text."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else a sign is cut by the end
            return ""
        text = start[: error.start].decode()
    lines = text.splitlines()
    return (
        lines[0] if lines and all(line.replace("\t", " ").isprintable() for line in lines) else ""
    )


def folder_without_weights(folder: Path) -> CheckpointError:
    """The refusal of a folder without weights, by what training programs leave in theirs."""
    names = {path.name for path in folder.iterdir()}
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        return CheckpointError(
            f"{folder} is a checkpoint of torch.distributed, in parts that each process wrote. "
            "Join them first: python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            "FOLDER weights.pth."
        )
    if "latest" in names or "zero_to_fp32.py" in names:
        return CheckpointError(
            f"{folder} is a checkpoint of DeepSpeed, in parts that each process wrote. Join them "
            "first: python zero_to_fp32.py FOLDER OUTPUT, which DeepSpeed puts beside them."
        )
    return CheckpointError(
        f"{folder} is a folder without weights; give a .safetensors, .pth or .pt file, or a "
        "folder that has one."
    )
