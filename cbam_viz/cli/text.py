"""What commands print: tables in plain text, JSON without NaN."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

RESULTS = f"{__name__}.results"
"""In click's `meta`: the stream of results, where the user's own code has `sys.stdout` changed."""


def whatever_the_encoding() -> None:
    """Let standard streams escape what they have no letters for, in place of an error.

    Where output is piped on Windows, or a locale is not UTF-8, that may be a minus sign.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Print a result to standard output, where nothing of the user's own code gets."""
    click.echo(text, file=_results())


def _results() -> TextIO | None:
    context = click.get_current_context(silent=True)
    return context.meta.get(RESULTS) if context is not None else None


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> None:
    """Print aligned columns; `right` names the columns (as in `head`) to align to the right."""
    numeric = [title in right.split() for title in head]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numeric, strict=True)
        )
        say("  ".join(cells).rstrip())


def print_json(value: Any) -> None:
    """Print `value` as JSON; NaN and infinities, which JSON lacks, become null."""
    encoding = getattr(_results() or sys.stdout, "encoding", None) or "utf-8"
    plain = not encoding.lower().startswith("utf")  # escapes of JSON's own, which any reader knows
    say(json.dumps(finite(value), indent=2, ensure_ascii=plain))


def finite(value: Any) -> Any:
    """The same plain data without NaN and infinities, which JSON lacks: they become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return value
