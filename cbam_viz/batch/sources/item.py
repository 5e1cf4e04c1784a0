"""One photo of a source: what it is called, and where its bytes lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "tar", "parquet", "arrow"]


@dataclass(frozen=True)
class Item:
    """A photo that has not been read yet."""

    name: str
    """Path below its source, of a member of an archive too; with `#12` for a row of a table."""
    kind: Kind
    path: str
    """The file that holds it."""
    label: str | None = None
    offset: int = 0
    """First byte in a tar; row in a table."""
    size: int = 0
    """Bytes in a tar."""
