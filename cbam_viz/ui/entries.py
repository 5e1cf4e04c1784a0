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
    short: str = ""
    """What the page's own settings begin with in a link, if not with its address."""
    heavy: bool = False
    """It imports what few visitors need, so that is not done before somebody opens it."""

    @property
    def module(self) -> str:
        """Where its `page(scene)` is."""
        return f"cbam_viz.ui.pages.{self.folder}.page"

    @property
    def prefix(self) -> str:
        """Of the parameters in a link that are this page's own."""
        return f"{self.short or self.address}_"


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
        "many",
        "many",
        "Many photos",
        ":material/photo_library:",
        "What the gates do over a whole folder of photos.",
        heavy=True,
    ),
    Entry(
        "training",
        "training",
        "Training",
        ":material/timeline:",
        "How the gates changed from epoch to epoch of a training run.",
        heavy=True,
    ),
    Entry(
        "walk",
        "how",
        "How it works",
        ":material/school:",
        "CBAM step by step, with the numbers of your photo.",
    ),
    Entry(
        "whatif",
        "whatif",
        "What if",
        ":material/experiment:",
        "Replace a layer's gates: what the network then says, and which gates matter.",
    ),
    Entry(
        "compare",
        "compare",
        "Compare",
        ":material/compare:",
        "Up to four networks on your photo, or one network on up to four photos, layer by layer.",
        heavy=True,
    ),
    Entry(
        "figure",
        "figure",
        "Figure",
        ":material/docs:",
        "A figure for a paper, at the venue's width.",
        short="fig",
        heavy=True,
    ),
)
"""In the order of the navigation. Streamlit gives the first one the address / and no other."""
