"""Networks of one's own code: `cbam-viz app --model FILE.py:FACTORY`. They come first in the list.

They were made before the server started; nothing that a visitor sends can name another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cbam_viz.models import LoadedModel


def names() -> tuple[str, ...]:
    """What the list of networks calls them; none as a rule."""
    from cbam_viz.models.offered import offered

    return tuple(offered())


def network(name: str) -> LoadedModel:
    """One of them."""
    from cbam_viz.models.offered import offered

    return offered()[name]
