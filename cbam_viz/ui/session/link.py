"""What a link to the app says: settings, and how they are written into and read from a URL.

Nothing here knows Streamlit. Values from a URL are hostile until proven: each is checked against
what is allowed, replaced by its default where it is not, and named in a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from cbam_viz._defaults import COLORMAP, COLORMAPS, OPACITY, VIEW, View

SCALES = {"absolute": "absolute, 0 to 1", "shared": "shared by all layers", "per map": "per map"}
SHOWS = {"overlay": "Overlay", "map": "Map only", "contours": "Contours"}
CELLS = {"smooth": "Smooth", "cells": "Cells", "grid": "Grid"}
VIEWS = {"crop": "Network's crop", "whole": "Whole photo"}
ORDERS = {"index": "by index", "sorted": "sorted"}
TOP_KS = (0, 5, 10, 20, 50)
UPLOAD = "upload"
"""Stands in a URL for a photo or a checkpoint that no link can carry."""
MAX_TEXT = 120
NO_SUCH_PAGE = "no_such_page"
"""Stands in a URL for the address that led here, because there is no page of that address."""


def _one_of(choices: Sequence[str] | Mapping[str, str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return read


def _name(text: str) -> str:
    """A name to be compared with existing ones; never used as a path."""
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        raise ValueError(text)
    return text


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return round(value, 2)


def _top(text: str) -> int:
    if text not in {str(k) for k in TOP_KS}:
        raise ValueError(text)
    return int(text)


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise ValueError(text)
    return int(text)


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _setting(default: Any, read: Callable[[str], Any]) -> Any:
    """A field of this default, which is read from a link's text by `read` or not at all."""
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True)
class Settings:
    """All that a link reopens and more than one page reads. Names are the URL's parameters.

    `image`, `model`, `arch` (architecture) and `layer` are names to be looked up among what exists;
    None means the default. Whether a name exists is known only once the samples, the checkpoints or
    the captured layers are at hand, so it is checked there.
    """

    image: str | None = _setting(None, _name)
    own: int | None = _setting(None, _index)
    """Which of this session's own photos, where `image` is UPLOAD: so that Back finds it again."""
    model: str | None = _setting(None, _name)
    arch: str | None = _setting(None, _name)
    view: View = _setting(VIEW, _one_of(VIEWS))  # noqa: RUF009 - it gives a field
    layer: str | None = _setting(None, _name)
    """None until the visitor picks one: then the layer that suits the photo is shown."""
    show: str = _setting("overlay", _one_of(SHOWS))
    opacity: float = _setting(OPACITY, _share)
    colormap: str = _setting(COLORMAP, _one_of(COLORMAPS))
    scale: str = _setting("absolute", _one_of(SCALES))
    order: str = _setting("index", _one_of(ORDERS))
    top: int = _setting(10, _top)
    channel: int | None = _setting(None, _index)
    cells: str = _setting("smooth", _one_of(CELLS))
    found: bool = _setting(True, _switch)
    """Whether what a detector found is outlined on the photo."""
    against: str | None = _setting(None, _name)
    """The store that the photo is compared with."""
    layer2: str | None = _setting(None, _name)
    """Of the picture beside the first, as `model2`, `image2` and `method2`: what it differs in from
    the first. There is none while all four are None."""
    model2: str | None = _setting(None, _name)
    image2: str | None = _setting(None, _name)
    method2: str | None = _setting(None, _name)
    """What made the picture beside the first; None for the gates."""
    class2: int | None = _setting(None, _index)
    """The class that it is for; None for the predicted one."""
    box2: int | None = _setting(None, _index)
    """Of a detector the box that it is for, from 1; None for that of the highest score."""


def to_params(settings: Settings) -> dict[str, str]:
    """The parameters of the shortest URL that reopens `settings`: defaults are left out."""
    default = Settings()
    params = {}
    for one in fields(Settings):
        value = getattr(settings, one.name)
        if value is not None and value != getattr(default, one.name):
            params[one.name] = f"{value:g}" if isinstance(value, (float, bool)) else str(value)
    return params


def from_params(params: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """Settings from a URL's parameters, and a note for each value that could not be used."""
    readers = {one.name: one.metadata["read"] for one in fields(Settings)}
    values: dict[str, Any] = {}
    notes = []
    for name, text in params.items():
        if name not in readers:
            continue
        try:
            values[name] = readers[name](text)
        except ValueError:
            notes.append(no_choice(name, text))
    if missing := params.get(NO_SUCH_PAGE):
        notes.append(f"There is no page “{_shown(missing)}”, so this is the first one.")
    return Settings(**values), tuple(notes)


def no_choice(name: str, text: str, used: Any = None) -> str:
    """What of a link's parameter could not be used; of a list, what is not among `used`."""
    if isinstance(used, list):
        kept = {written(one) for one in used}
        text = ", ".join(part for part in text.split(",") if part not in kept) or text
    return f"The link's {name} “{_shown(text)}” is not one of the choices."


def written(value: Any) -> str:
    """A control's value as a URL holds it: numbers short, lists with commas, switches as 0 or 1."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return ",".join(written(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_like(text: str, example: Any) -> Any:
    """What `written` wrote, as the type of `example`; raises ValueError for anything else."""
    if isinstance(example, list | tuple):
        parts = text.split(",") if text else []
        of = example[0] if isinstance(example, tuple) else ""
        values = [read_like(part, of) for part in parts]
        if isinstance(example, tuple) and len(values) != len(example):
            raise ValueError(text)
        return type(example)(values)
    if isinstance(example, bool):
        return {"0": False, "1": True}[text] if text in ("0", "1") else _refuse(text)
    if isinstance(example, int):
        return int(text) if re.fullmatch(r"-?[0-9]{1,6}", text) else _refuse(text)
    if isinstance(example, float):
        value = float(text)
        return value if math.isfinite(value) else _refuse(text)
    return text if len(text) <= MAX_TEXT and text.isprintable() else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _shown(text: str) -> str:
    clean = "".join(c if c.isalnum() or c in " .,:#-_" else "·" for c in text)
    return clean if len(clean) <= 40 else f"{clean[:40]}…"
