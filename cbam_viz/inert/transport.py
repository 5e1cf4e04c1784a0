"""`open_file`, and the same in a process of its own: what a file says, as text from there to here.

Nodes refer to each other in circles and share their parts, so they travel as a table: a value is a
number, a text, or a list of one, the number of a node.
"""

from __future__ import annotations

import gc
import json
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from cbam_viz.errors import CheckpointError, LimitError
from cbam_viz.inert.archive import Part
from cbam_viz.inert.container import Opened, open_pickle, open_zip
from cbam_viz.inert.machine import SECONDS
from cbam_viz.inert.nodes import Node
from cbam_viz.limited import run_limited

MEGABYTES = 1000
"""Memory that opening one file may take, its tensors aside, which stay on the disk."""


def open_data(data: memoryview) -> Opened:
    """Return what the file `data` says, a zip or a pickle.

    Raises:
        CheckpointError: it is damaged, too long, or not as PyTorch writes; the text says what it
            is.
    """
    with without_collection():
        return open_zip(data) if bytes(data[:4]) == b"PK\x03\x04" else open_pickle(data)


def open_apart(file: IO[bytes] | bytes) -> Opened:
    """As `open_data`, for an open file or its content, in a process with limits."""
    try:
        text = run_limited(f"{__name__}:describe", file, seconds=SECONDS, megabytes=MEGABYTES)
    except LimitError as error:
        raise CheckpointError(
            f"Opening the checkpoint {error}; it was given up. The file is damaged, or made to "
            "exhaust this machine. If it is neither, save its weights alone as safetensors."
        ) from error
    with without_collection():
        return from_text(text)


def describe(stream: IO[bytes]) -> bytes:
    """Open a file and return what it says as text, in the process that `open_apart` starts."""
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        data = memoryview(mapped)
        try:
            with without_collection():
                return to_text(open_data(data))
        finally:
            data.release()


@contextmanager
def without_collection() -> Iterator[None]:
    """Make many objects without Python looking through all of them again and again for circles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def to_text(opened: Opened) -> bytes:
    """Return a file's description as JSON."""
    table = {
        "root": opened.root,
        "nodes": [[node.kind, node.items, node.more] for node in opened.nodes],
        "parts": {key: [part.start, part.length] for key, part in opened.parts.items()},
        "swapped": opened.swapped,
    }
    return json.dumps(table, default=_encode, check_circular=False).encode()


def _encode(value: Any) -> Any:
    if isinstance(value, Node):
        return [value.index]
    return {"latin1": value.decode("latin1")}


def from_text(text: bytes) -> Opened:
    """Return the description that `to_text` wrote."""
    table = json.loads(text)
    nodes = [Node(kind, items, index) for index, (kind, items, _) in enumerate(table["nodes"])]

    def decoded(value: Any) -> Any:
        return nodes[value[0]] if isinstance(value, list) else value

    for node, (_, items, more) in zip(nodes, table["nodes"], strict=True):
        if isinstance(items, list):
            node.items = [decoded(item) for item in items]
        elif isinstance(items, dict):
            node.items = items["latin1"].encode("latin1")
        if more is not None:
            node.more = [
                step if isinstance(step, str) else [decoded(value) for value in step]
                for step in more
            ]
    return Opened(
        root=decoded(table["root"]),
        nodes=nodes,
        parts={key: Part(*place) for key, place in table["parts"].items()},
        swapped=table["swapped"],
    )
