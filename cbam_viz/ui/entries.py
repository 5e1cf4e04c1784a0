"""The pages of the app: what the navigation and the address bar know of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One page of the navigation: `pages/FOLDER/page.py` has a function `page(scene)`."""

    folder: str
    address: str
    title: str
    icon: str
    help: str


ENTRIES = (
    Entry(
        "explore",
        "explore",
        "Explore",
        ":material/image_search:",
        "One layer on your photo: its spatial map, its channel weights, the prediction.",
    ),
    Entry(
        "layers",
        "layers",
        "All layers",
        ":material/grid_view:",
        "Every layer's map and numbers, by stage.",
    ),
    Entry(
        "walk",
        "how",
        "How it works",
        ":material/school:",
        "CBAM step by step, with the numbers of your photo.",
    ),
    Entry(
        "figure",
        "figure",
        "Figure",
        ":material/docs:",
        "A figure for a paper, at the venue's width.",
    ),
)
"""In the order of the navigation. Streamlit gives the first one the address / and no other."""
