"""How far something that takes long has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import streamlit as st


class Report(Protocol):
    """Draws how far it is."""

    def __call__(self, share: float, more: str = "") -> None:
        """`share` of it is done; `more` is to be said behind what it is."""


@contextmanager
def progress(text: str) -> Iterator[Report]:
    """A bar that is there from the first report to the end of the block."""
    place = st.empty()

    def report(share: float, more: str = "") -> None:
        place.progress(min(1.0, share), text=f"{text} {more}".strip())

    try:
        yield report
    finally:
        place.empty()
