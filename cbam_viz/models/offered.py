"""Networks that whoever started the app has made by their own code, for the app in this process.

Nothing else puts one here: no link, no upload and no file names code to be run.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cbam_viz.models.loaded import LoadedModel

_offered: dict[str, LoadedModel] = {}


def offer(name: str, loaded: LoadedModel) -> None:
    """Put a network on the app's list, before the checkpoints, after those offered earlier."""
    number, key = 1, name
    while key in _offered:
        number += 1
        key = f"{name} ({number})"
    _offered[key] = loaded


def offered() -> Mapping[str, LoadedModel]:
    """The networks by the names that the list shows, in order."""
    return MappingProxyType(_offered)
