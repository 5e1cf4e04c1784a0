"""Class names that a checkpoint, a file beside it or a network carries, and nobody else's.

Training code keeps them under many names (`classes`, `class_to_idx`, `id2label`, torchvision's
`meta["categories"]`, mmengine's `meta["dataset_meta"]["classes"]`). Whoever wrote the file wrote
these values too, so they are checked; what is wrong is left out, with a note.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cbam_viz._text import shortened
from cbam_viz.errors import ModelError
from cbam_viz.models.records import mapping_of

MOST_NAMES = 100_000
LONGEST_NAME = 200
"""In characters."""
_JOINERS = "\u200c\u200d"
"""Zero width: spelling in Persian and Hindi, and what makes one emoji of several."""

KEYS = (
    "classes",
    "class_names",
    "classnames",
    "categories",
    "label_names",
    "names",
    "labels",
    "class_to_idx",
    "class_to_index",
    "class2idx",
    "class2index",
    "class_map",
    "label_map",
    "label_to_idx",
    "idx2class",
    "idx_to_label",
    "index2class",
    "idx_to_class",
    "index_to_class",
    "id2label",
    "label2id",
)
"""Where names are looked for, in lower case."""

_CONTAINERS = frozenset(
    """
    args cfg config data dataset dataset_meta ema extra hparams hyper_parameters info meta metadata
    model model_config params state
    """.split()  # noqa: SIM905
)
"""Parts of a checkpoint in which names may lie, in lower case."""
_MOST_PARTS, _DEEPEST = 100, 3


@dataclass(frozen=True)
class ClassNames:
    """The names of a network's outputs, in their order, and how they were come by."""

    names: tuple[str, ...] | None
    """None where nothing names them, or not well enough."""
    notes: tuple[str, ...] = ()
    """Where they are from, or why they are not used, in sentences."""


def find_names(content: Any, where: str, count: int | None = None) -> ClassNames:
    """Look for the names of `count` classes in a checkpoint's content, or what lies beside it.

    `where` is what the notes call it, such as `the file`. None for `count` takes any number.
    """
    found: dict[tuple[str, ...], str] = {}
    notes = []
    for path, value in _candidates(content):
        try:
            names = read_names(value)
        except ValueError as error:
            notes.append(f"{path!r} in {where} is not used as class names: {error}.")
            continue
        if count is not None and len(names) != count:
            notes.append(
                f"{path!r} in {where} names {len(names):,} classes, the network has {count:,}; "
                "not used."
            )
            continue
        found.setdefault(names, path)
    if len(found) > 1:
        both = " and ".join(repr(path) for path in list(found.values())[:2])
        notes.append(f"{both} in {where} name different classes, so neither is used.")
        return ClassNames(None, tuple(notes))
    for names, path in found.items():
        return ClassNames(names, (*notes, f"The class names are those of {path!r} in {where}."))
    return ClassNames(None, tuple(notes))


def names_of_network(model: nn.Module) -> ClassNames:
    """Return the class names that a network itself carries, as ultralytics' `names` does."""
    own = {key: value for key, value in vars(model).items() if key.lower() in KEYS}
    config = vars(model).get("config")  # of a Hugging Face network
    labels = getattr(config, "id2label", None)
    return find_names({**own, **({"id2label": labels} if labels else {})}, "the network")


def read_names(value: Any) -> tuple[str, ...]:
    """Return the names in a sequence of texts, or in a mapping of names to places or back.

    Raises ValueError, whose text says why, for anything else and where a place has no name.
    """
    if len(value) > MOST_NAMES:
        raise ValueError(f"{len(value):,} entries are too many")
    names = _in_order(value) if isinstance(value, Mapping) else list(value)
    names = [str(name) if isinstance(name, np.str_) else name for name in names]
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError("not every entry is a text")
        if len(name) > LONGEST_NAME:
            raise ValueError(f"a name is longer than {LONGEST_NAME} characters")
    return tuple("".join(map(_shown, name)).strip() for name in names)


def _shown(letter: str) -> str:
    """Return a letter as it may stand in a line: joiners belong to words and emoji, others move."""
    return letter if letter.isprintable() or letter in _JOINERS else " "


def _in_order(mapping: Mapping[Any, Any]) -> list[Any]:
    """Sort a mapping's names by their places, which must be 0, 1, 2 ..."""
    if all(_is_place(place) for place in mapping.values()):
        by_place = {place: name for name, place in mapping.items()}
    else:
        by_place = {_place_of(key): name for key, name in mapping.items()}
    if len(by_place) != len(mapping) or set(by_place) != set(range(len(mapping))):
        raise ValueError(f"the places of its {len(mapping):,} names are not 0, 1, 2 and so on")
    return [by_place[place] for place in range(len(mapping))]


def _is_place(value: Any) -> bool:
    # Within the range, so that no file can choose many numbers of one hash.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_NAMES


def _place_of(key: Any) -> Any:
    """JSON turns whole numbers that are keys into texts."""
    is_number = isinstance(key, str) and len(key) <= 6 and key.isascii() and key.isdecimal()
    return int(key) if is_number else key


def _candidates(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield what stands under `KEYS`, with the way to it, from the outside inwards."""
    waiting: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_PARTS:
        path, part = waiting.pop(0)
        entries = mapping_of(part)
        if entries is None or len(entries) > MOST_NAMES or id(part) in seen:
            continue
        seen.add(id(part))
        for key, value in entries.items():
            if not isinstance(key, str) or len(key) > 40:
                continue
            here = f"{path}.{key}" if path else key
            if key.lower() in KEYS and _holds_names(value):
                yield here, value
            elif key.lower() in _CONTAINERS and path.count(".") < _DEEPEST:
                waiting.append((here, value))


def read_names_file(path: str) -> tuple[str, ...]:
    """Return the class names of a file: a line each, or JSON as a checkpoint may hold it.

    JSON is a list, or names to places or back, also `{"0": ["n01440764", "tench"], ...}`. Raises
    ModelError for anything else.
    """
    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"The class names in {name} cannot be read: {error.strerror}.") from error
    return read_names_text(content, name)


def read_names_text(text: str | bytes, where: str) -> tuple[str, ...]:
    """The same of a text; `where` says in a ModelError what it was."""
    try:
        return _names_in_text(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{where} holds no class names that can be used ({shortened(str(error), 150)}). Write "
            "one on each line, in the order of the network's outputs, or a list as JSON."
        ) from error


def _names_in_text(text: str) -> tuple[str, ...]:
    if text.lstrip()[:1] in ("[", "{"):
        return _names_in_json(json.loads(text))
    names = read_names(text.rstrip().splitlines())
    if not names:
        raise ValueError("it is empty")
    return names


def _names_in_json(content: Any) -> tuple[str, ...]:
    if isinstance(content, Mapping):
        for key in KEYS:
            if key in content and _holds_names(content[key]):
                return _names_in_json(content[key])
        content = {
            key: value[-1] if isinstance(value, list) and value else value
            for key, value in content.items()
        }
    return read_names(content)


def _holds_names(value: Any) -> bool:
    """Whether it is a collection at all: `classes` may be a number, `labels` a tensor."""
    if isinstance(value, np.ndarray):  # of texts, as numpy.unique and scikit-learn give them
        return value.ndim == 1 and value.dtype.kind == "U" and len(value) > 0
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
    return (is_list or isinstance(value, Mapping)) and len(value) > 0
