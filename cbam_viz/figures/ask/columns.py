"""Columns of a grid, and how the command line, links and manifests write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.registry import COLUMNS

_COMMA = re.compile(r"(?<!\\),")
_COUNTED = re.compile(r" *(?:(?:dense )?block|layer|level|stage|call) [0-9]")
"""What follows a comma in a layer's title; no column begins so."""
_BEGINS = re.compile(r" *([a-z+]+)(?:@[0-9]+)? *(?:$|([:=]))")
"""How a column begins."""


@dataclass(frozen=True)
class Column:
    """One column of a grid."""

    kind: str
    """One of `registry.COLUMNS`."""
    name: str | None = None
    """Layer for `map` and `channels` (its name, or its place in the order: `0`, `-1`), stage for
    `stage`, layer and place for `energy` (`-1:before`). Layer, module or stage for other methods
    (`gradcam`): None for the output of the last stage."""
    model: int = 0
    """Which of the networks, from 0."""
    head: str | None = None
    """The column's heading; None: one made from kind, layer and network."""
    target: str | None = None
    """Of kinds that are for a class: its name or number. None: the one that the figure's first
    network predicts."""

    def __post_init__(self) -> None:
        if self.kind not in COLUMNS:
            raise FigureError(f"There is no column {self.kind!r}. There are: {', '.join(COLUMNS)}.")
        takes = COLUMNS[self.kind].takes
        if takes and not self.name and not COLUMNS[self.kind].optional:
            raise FigureError(f"A column {self.kind!r} needs a {takes}: write {self.kind}:NAME.")
        if self.name and not takes:
            raise FigureError(f"A column {self.kind!r} takes no layer or stage ({self.name!r}).")
        places = COLUMNS[self.kind].places
        if places and (not self.layer or self.place not in places):
            written = " or ".join(f"{self.kind}:NAME:{place}" for place in places)
            raise FigureError(f"A column {self.kind!r} needs a layer and a place: write {written}.")
        if self.target is not None and not COLUMNS[self.kind].of_class:
            raise FigureError(
                f"A column {self.kind!r} is the same for every class: leave @{self.target} out."
            )
        if self.target == "":
            raise FigureError(f"Which class? Write {self.kind}:{self.name or ''}@CLASS.")
        if self.model < 0:
            raise FigureError("Networks are counted from 1 in a column: write map@2:NAME.")

    @property
    def layer(self) -> str:
        """The layer or stage that is named."""
        name = self.name or ""
        return name.rpartition(":")[0] if COLUMNS[self.kind].places else name

    @property
    def place(self) -> str:
        """Where the features are taken, of kinds that have places; else empty."""
        return (self.name or "").rpartition(":")[2] if COLUMNS[self.kind].places else ""


def parse_column(text: str) -> Column:
    """`KIND[@MODEL][:NAME][=HEAD]`, such as `input`, `map:layer4.1.se`, `map@2:-1=Ours`.

    NAME of another method is `[LAYER][@CLASS]`: `gradcam:layer4@dog`, `occlusion:@17`.

    Raises:
        FigureError: if it is none.
    """
    body, head = (part.strip() for part in text.partition("=")[::2])
    kind_and_model, _, name = body.partition(":")
    kind, at, model = kind_and_model.partition("@")
    if at and not model.isdecimal():
        raise FigureError(f"In the column {text!r}, {model!r} is no network: write {kind}@2.")
    target = None
    if kind in COLUMNS and COLUMNS[kind].made and "@" in name:
        name, _, target = name.partition("@")
    return Column(
        kind=kind,
        name=name or None,
        model=int(model) - 1 if at else 0,
        head=head or None,
        target=target,
    )


def format_column(column: Column) -> str:
    """The text that `parse_column` reads."""
    model = f"@{column.model + 1}" if column.model else ""
    name = (column.name or "") + ("" if column.target is None else f"@{column.target}")
    name = f":{name}" if name else ""
    head = f"={column.head}" if column.head else ""
    return f"{column.kind}{model}{name}{head}"


def columns_from_text(text: str) -> tuple[Column, ...]:
    r"""Columns as the command line and the app write them: comma-separated.

    A comma may also stand in a layer's title, a class or a heading, before a space:
    `map:stage 4, block 2`, `gradcam:layer4@tench, Tinca tinca`. Elsewhere it is written `\,`.
    """
    parts: list[str] = []
    for piece in _COMMA.split(text):
        if parts and _goes_on(parts[-1], piece):
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return tuple(parse_column(part.replace("\\,", ",")) for part in parts if part.strip())


def _goes_on(column: str, piece: str) -> bool:
    """Whether what follows a comma belongs to the column before it."""
    if not ({":", "="} & set(column)):
        return False  # it names nothing
    begins = _BEGINS.match(piece)
    if begins and (begins[1] in COLUMNS or begins[2]):
        return False
    return piece.startswith(" ") or bool(_COUNTED.match(piece))
