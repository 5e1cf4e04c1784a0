"""What a phone shows above every page: the name, and the pages.

On a window that narrow Streamlit puts its navigation and the sidebar behind a button; `page.css`
shows this instead, and hides it elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st


def draw(pages: Iterable[st.Page]) -> None:
    """The name, and a link to each page."""
    with st.container(key="masthead"):
        st.container(key="masthead_name").markdown("cbam-viz")
        with st.container(
            horizontal=True, horizontal_alignment="left", gap=None, key="masthead_pages"
        ):
            for page in pages:
                st.page_link(page)
