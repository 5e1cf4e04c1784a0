"""The description that a cbam-viz checkpoint carries, and the folder it lies in.

A safetensors file holds text entries beside its tensors; ours is one, `cbam_viz`, with JSON:

    {"schema": 1, "title", "description", "architecture", "attention": "cbam" | "lcbam" | null,
     "arguments": {...}, "inserted_cbam": null | {"at": [...]}, "num_classes", "classes": [...],
     "pretrained_cfg": {...}, "training_data", "accuracy": {...}, "license", "code_version",
     "default": bool, "compare_with"}

Whoever uploads a file writes this text, so it is checked like any input, against `schema.py`:
`arguments` may only shape the network, never name files, links or code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cbam_viz._places import checkpoints_folder
from cbam_viz._schema import MismatchError, checked, read_json
from cbam_viz._suffixes import DESCRIBED
from cbam_viz._text import quoted, shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.files import MAX_HEADER_BYTES
from cbam_viz.models.schema import Arguments, Description, Further
from cbam_viz.models.shards import (
    checkpoint_path,
    checkpoints_in,
    files_of,
    is_checkpoint_folder,
)

KEY = "cbam_viz"
SCHEMA = 1
MAX_TEXT_BYTES = 4 * 1024**2
"""Longest description; with 100,000 class names it has some 2 MB."""


@dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint in a folder, as far as it is known without loading it."""

    path: Path
    """A file of weights, an index of shards, or the folder of one of them."""
    title: str
    description: str
    architecture: str | None
    """None for files without our description; it is inferred on loading."""
    default: bool
    metadata: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Of all its files, in bytes."""
        return sum(file.stat().st_size for file in files_of(self.path))


def parse_metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return our description from a file's text entries; empty if it has none.

    Raises:
        CheckpointError: the description is no JSON object, is of a newer schema, or asks for what a
            file may not.
    """
    text = texts.get(KEY)
    if text is None:
        return {}
    if not isinstance(text, str) or len(text) > MAX_TEXT_BYTES:
        raise CheckpointError(
            "The description in the checkpoint is no text, or an absurdly long one."
        )
    try:
        found = read_json(text)
    except MismatchError as error:
        raise CheckpointError(f"The description in the checkpoint is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise CheckpointError("The description in the checkpoint is no JSON object.")
    schema = found.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise CheckpointError(
            f"The checkpoint's description has schema {quoted(schema)}; this version reads "
            f"up to {SCHEMA}. Install a newer cbam-viz."
        )
    _check_names(found.get("arguments"))
    try:
        _check_entries(found)
    except MismatchError as error:
        meant = _IN_WORDS.get(error.place.partition("[")[0], "")
        raise CheckpointError(
            f"The checkpoint's description has a wrong {quoted(error.place)} entry{meant}, which "
            f"makes no sense: {error.reason}."
        ) from error
    return found


def _check_entries(found: Mapping[str, Any]) -> None:
    checked(found, Description)
    for name, value in found.items():
        try:
            checked({name: value}, dict[str, Further])
        except MismatchError as error:
            raise MismatchError(name, error.reason) from error


_IN_WORDS = {"classes": " (the class names)", "pretrained_cfg.input_size": " (the input size)"}


def _check_names(arguments: Any) -> None:
    """Say what to do about arguments that a file may not set."""
    known = Arguments.__struct_fields__
    for key in arguments if isinstance(arguments, dict) else ():
        if key not in known:
            raise CheckpointError(
                f"The checkpoint's description sets {quoted(key)}, which a file may not. Load it "
                "with load_model(..., architecture=...) and give that argument yourself."
            )


def read_metadata(path: Path) -> dict[str, Any]:
    """Return our description of a safetensors file without reading its tensors.

    Raises:
        CheckpointError: the file cannot be read, or its description is wrong.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size):
                raise CheckpointError(f"{path.name} is no whole safetensors file.")
            header = msgspec.json.decode(stream.read(length), type=_Header)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path.name} is no whole safetensors file: {shortened(str(error))}."
        ) from error
    return parse_metadata(header.texts or {})


class _Header(msgspec.Struct):
    """The header of a safetensors file without its list of tensors."""

    texts: dict[str, str] | None = msgspec.field(name="__metadata__", default=None)


def list_checkpoints(folder: str | Path | None = None) -> tuple[CheckpointEntry, ...]:
    """List the checkpoint files in a folder: the default, then described ones, then others.

    Without a folder it is the one of the command line and the app: that which the environment
    variable CBAM_VIZ_CHECKPOINTS names, else the one that comes along.

    Files directly in it are listed, indices of shards for their shards, and folders that hold one
    checkpoint as Hugging Face's do; links that lead out of it and files whose description is broken
    are left out. An absent folder has none.
    """
    return survey(checkpoints_folder() if folder is None else folder)[0]


def survey(folder: str | Path) -> tuple[tuple[CheckpointEntry, ...], tuple[str, ...]]:
    """Return what `list_checkpoints` lists, and why it lists no more, a sentence for each file."""
    entries, refusals = [], []
    for path in _files(Path(folder)):
        try:
            entries.append(_entry(path))
        except CheckpointError as error:
            named = path.name in str(error)
            refusals.append(str(error) if named else f"{shortened(path.name)}: {error}")
    return tuple(sorted(entries, key=_order)), tuple(refusals)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    root = folder.resolve()
    try:
        inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        named = [path for path in checkpoints_in(folder) if path.is_file()]
    except (OSError, CheckpointError):
        return []
    named += filter(is_checkpoint_folder, inside)
    return [path for path in named if path.resolve().parent == root]


def _order(entry: CheckpointEntry) -> tuple[bool, bool, str]:
    return not entry.default, entry.architecture is None, entry.path.name


def _entry(path: Path) -> CheckpointEntry:
    file = checkpoint_path(path)
    metadata = read_metadata(file) if file.suffix.lower() == DESCRIBED else {}
    files_of(path)  # an index that is none is told here
    return CheckpointEntry(
        path=path,
        title=shortened(metadata.get("title") or path.name, 300),
        description=metadata.get("description") or "",
        architecture=metadata.get("architecture"),
        default=metadata.get("default") is True,
        metadata=metadata,
    )


def default_checkpoint(folder: str | Path | None = None) -> CheckpointEntry | None:
    """Return the checkpoint that names itself the default, else the first, else None.

    Without a folder it is that of `list_checkpoints`: the first demo network, as a rule.

    One that says it has no attention comes last: there is nothing to show of it.
    """
    entries = list_checkpoints(folder)
    plain = [entry for entry in entries if not entry.default and _says_plain(entry.metadata)]
    return next((entry for entry in entries if entry not in plain), next(iter(plain), None))


def twin_of(path: Path, entries: Iterable[CheckpointEntry]) -> CheckpointEntry | None:
    """Return the checkpoint that was made to be compared with this file; None if none was."""
    known = list(entries)
    own = next((one for one in known if one.path.name == path.name), None)
    metadata = {} if own is None else own.metadata
    others = (one for one in known if one is not own)
    return next((one for one in others if are_twins(path.name, metadata, one)), None)


def are_twins(name: str, metadata: Mapping[str, Any], other: CheckpointEntry) -> bool:
    """Whether a checkpoint of that file name and description and another one name each other."""
    return other.metadata.get("compare_with") == name or (
        metadata.get("compare_with") == other.path.name
    )


def _says_plain(metadata: Mapping[str, Any]) -> bool:
    says = "attention" in metadata and metadata["attention"] is None
    return says and not metadata.get("inserted_cbam")
