"""Measures that several pages share, and how pages adapt to narrow windows."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

COLUMNS = (7, 5)
"""Widths of the picture and of what stands beside it."""


def use_style() -> None:
    """Send the few rules that Streamlit's theme has no setting for."""
    st.html(f"<style>{files('cbam_viz.ui').joinpath('page.css').read_text('utf-8')}</style>")


def two_columns(name: str, ratio: tuple[int, int] = COLUMNS) -> list[DeltaGenerator]:
    """Two columns that stand below each other where either would become too narrow to read.

    `name` is unique on the page.
    """
    with st.container(key=f"two_columns_{name}"):
        return list(st.columns(ratio, gap="large"))
