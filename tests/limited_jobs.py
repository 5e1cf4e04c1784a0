"""What tests/test_limited.py has done in processes of their own."""

from __future__ import annotations

import os
import sys
from typing import IO

from cbam_viz.errors import ImageError


def reverse(stream: IO[bytes], times: int) -> bytes:
    data = stream.read()
    for _ in range(times):
        data = data[::-1]
    return data


def hang(stream: IO[bytes]) -> bytes:
    while True:
        stream.tell()


def fill(stream: IO[bytes]) -> bytes:
    return b"".join(bytes(10**6) for _ in range(10**5))


def fill_with_objects(stream: IO[bytes]) -> bytes:
    held = [[] for _ in range(10**9)]  # type: ignore[var-annotated]
    return bytes(len(held))


def answer_long(stream: IO[bytes], length: int) -> bytes:
    return bytes(length)


def refuse(stream: IO[bytes]) -> bytes:
    raise ImageError("It is no picture — at all.")


def die(stream: IO[bytes]) -> bytes:
    os.abort()


def fail(stream: IO[bytes]) -> bytes:
    raise KeyError("a mistake of ours")


def modules(stream: IO[bytes]) -> bytes:
    return "\n".join(sys.modules).encode()
