"""`photos.jsonl` of an evaluation: one line for each photo that is done, so that a run can go on.

The first line says by what settings. A line is written as a whole when its photo is done; what a
killed run has left half-written at the end is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cbam_viz.errors import StoreError

JOURNAL = "photos.jsonl"
Line = dict[str, Any]


class Journal:
    """The photos of a run and of those before it."""

    def __init__(self, path: Path | None, settings: Mapping[str, Any], *, force: bool) -> None:
        """Read what is there. Without a path, nothing is kept.

        Raises:
            StoreError: the file cannot be read or written, or was made by other settings; not with
                `force`.
        """
        self._path, self._settings = path, json.loads(json.dumps(settings))
        self.lines: dict[tuple[str, str], Line] = {}
        """What is known of each photo, by its source and the digest of its content."""
        if path is None:
            return
        kept = [] if force else _read(path)
        if kept:
            if kept[0].get("settings") != self._settings:
                raise StoreError(
                    f"{path} exists already, of a run with other options, another network or "
                    "another version. Choose another folder, or give --force to measure anew."
                )
            self.lines = {(one["source"], one["sha256"]): one for one in kept[1:]}
        self._rewrite()

    def add(self, line: Line) -> None:
        """Enter a photo. Raises StoreError."""
        self.lines[line["source"], line["sha256"]] = line
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_text(line))
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _rewrite(self) -> None:
        """Without a torn end, to which further lines would be joined."""
        from cbam_viz.cli.files import write

        assert self._path is not None
        text = "".join(map(_text, [{"settings": self._settings}, *self.lines.values()]))
        write(self._path, text.encode(), force=True)


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=True) + "\n"


def _read(path: Path) -> list[Line]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unwritable(path, error) from error
    found = []
    for number, text in enumerate(lines):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if isinstance(line, dict) and ({"source", "sha256", "maps"} <= line.keys() or not number):
            found.append(line)
        elif number < len(lines) - 1:
            raise StoreError(f"{path} is no journal of an evaluation: see its line {number + 1}.")
    return found


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be used: {error.strerror}. Choose another folder.")
