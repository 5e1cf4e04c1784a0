"""The description that a cbam-viz checkpoint carries, and the folder it lies in.

A safetensors file holds text entries beside its tensors; ours is one, `cbam_viz`, with JSON:

    {"schema": 1, "title", "description", "architecture", "attention": "cbam" | "lcbam" | null,
     "arguments": {...}, "inserted_cbam": null | {"at": [...]}, "num_classes", "classes": [...],
     "pretrained_cfg": {...}, "training_data", "accuracy": {...}, "license", "code_version",
     "default": bool, "compare_with"}

Whoever uploads a file writes this text, so it is checked like any input: `arguments` may only
shape the network, never name files, links or code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbam_viz.errors import CheckpointError
from cbam_viz.models.files import MAX_HEADER_BYTES

KEY = "cbam_viz"
SCHEMA = 1
_MAX_CLASSES = 100_000
_MAX_SIDE = 4096

_SHAPING = frozenset(
    """
    aa_layer act_layer avg_down base_width block_args block_reduce_first cardinality channels
    conv_stem_stride depth_multiplier depths drop_block_rate drop_path_rate drop_rate
    channel_multiplier dims down_kernel_size fix_stem global_pool head_hidden_size head_init_scale
    in_chans kernel_sizes layers mlp_ratio norm_layer num_features output_stride pad_type
    replace_stem_pool round_chs_fn stem_chs stem_size stem_stride stem_type stem_width width
    width_factor widths zero_init_last attention_args
    """.split()  # noqa: SIM905
)
"""Arguments of `timm.create_model` that a file may set."""


@dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint in a folder, as far as it is known without loading it."""

    path: Path
    title: str
    description: str
    architecture: str | None
    """None for files without our description; it is inferred on loading."""
    default: bool
    metadata: Mapping[str, Any]


def parse_metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return our description from a file's text entries; empty if it has none.

    Raises
    ------
    CheckpointError
        The description is no JSON object, is of a newer schema, or asks for what a file may not.
    """
    text = texts.get(KEY)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The description in the checkpoint is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise CheckpointError("The description in the checkpoint is no JSON object.")
    if not isinstance(found.get("schema"), int) or found["schema"] > SCHEMA:
        raise CheckpointError(
            f"The checkpoint's description has schema {found.get('schema')!r}; this version reads "
            f"up to {SCHEMA}. Install a newer cbam-viz."
        )
    _check_fields(found)
    return found


def _check_fields(found: Mapping[str, Any]) -> None:
    expected: dict[str, tuple[type, ...]] = {
        "title": (str,),
        "description": (str,),
        "architecture": (str,),
        "attention": (str,),
        "arguments": (dict,),
        "inserted_cbam": (dict,),
        "num_classes": (int,),
        "classes": (list,),
        "pretrained_cfg": (dict,),
        "accuracy": (dict,),
    }
    for field, types in expected.items():
        value = found.get(field)
        if value is not None and not isinstance(value, types):
            raise CheckpointError(f"The checkpoint's description has a wrong {field!r} entry.")
    classes = found.get("classes") or []
    if len(classes) > _MAX_CLASSES or not all(isinstance(name, str) for name in classes):
        raise CheckpointError("The checkpoint's class names must be at most 100,000 texts.")
    _check_arguments(found.get("arguments") or {})
    size = (found.get("pretrained_cfg") or {}).get("input_size")
    if size is not None and not _is_size(size):
        raise CheckpointError(f"The checkpoint's input size {size!r} makes no sense.")


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    for key, value in arguments.items():
        if key not in _SHAPING:
            raise CheckpointError(
                f"The checkpoint's description sets {key!r}, which a file may not. Load it with "
                "load_model(..., architecture=...) and give that argument yourself."
            )
        if not _modest(value):
            raise CheckpointError(f"The checkpoint's value for {key!r} makes no sense: {value!r}.")


def _modest(value: Any) -> bool:
    if value is None or isinstance(value, (bool, str)):
        return value is None or isinstance(value, bool) or len(value) < 100
    if isinstance(value, (int, float)):
        return abs(value) <= 65536
    if isinstance(value, dict):
        return len(value) < 50 and all(_modest(entry) for entry in value.values())
    return isinstance(value, list) and len(value) < 50 and all(_modest(entry) for entry in value)


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, list)
        and len(size) == 3
        and all(isinstance(side, int) and 1 <= side <= _MAX_SIDE for side in size)
    )


def read_metadata(path: Path) -> dict[str, Any]:
    """Return our description of a safetensors file without reading its tensors.

    Raises
    ------
    CheckpointError
        The file cannot be read, or its description is wrong.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size):
                raise CheckpointError(f"{path.name} is no whole safetensors file.")
            header = json.loads(stream.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is no whole safetensors file: {error}.") from error
    texts = header.get("__metadata__") if isinstance(header, dict) else None
    return parse_metadata(texts if isinstance(texts, dict) else {})


def list_checkpoints(folder: str | Path) -> tuple[CheckpointEntry, ...]:
    """List the checkpoint files in a folder: the default, then described ones, then others.

    Only files directly in it are listed; links that lead out of it and files whose description is
    broken are left out. An absent folder has none.
    """
    from cbam_viz.models.files import SUFFIXES

    folder = Path(folder)
    if not folder.is_dir():
        return ()
    root = folder.resolve()
    entries = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        real = path.resolve()
        if real.is_file() and real.parent == root:
            entry = _entry(path)
            if entry is not None:
                entries.append(entry)
    return tuple(sorted(entries, key=_order))


def _order(entry: CheckpointEntry) -> tuple[bool, bool, str]:
    return not entry.default, entry.architecture is None, entry.path.name


def _entry(path: Path) -> CheckpointEntry | None:
    metadata: Mapping[str, Any] = {}
    if path.suffix.lower() == ".safetensors":
        try:
            metadata = read_metadata(path)
        except CheckpointError:
            return None
    return CheckpointEntry(
        path=path,
        title=str(metadata.get("title") or path.name),
        description=str(metadata.get("description") or ""),
        architecture=metadata.get("architecture"),
        default=metadata.get("default") is True,
        metadata=metadata,
    )


def default_checkpoint(folder: str | Path) -> CheckpointEntry | None:
    """Return the checkpoint that names itself the default, else the first, else None.

    One that says it has no attention comes last: there is nothing to show of it.
    """
    entries = list_checkpoints(folder)
    plain = [entry for entry in entries if not entry.default and _says_plain(entry.metadata)]
    return next((entry for entry in entries if entry not in plain), next(iter(plain), None))


def _says_plain(metadata: Mapping[str, Any]) -> bool:
    says = "attention" in metadata and metadata["attention"] is None
    return says and not metadata.get("inserted_cbam")
