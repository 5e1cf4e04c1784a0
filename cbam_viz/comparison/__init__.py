"""Several networks on one photo, or one network on several photos, layer beside layer.

`pairing` says which layers correspond, `kinship` whether their channels do, `differing` by how much
two maps differ on the photo, `comparing` puts all of it together, `tables` writes it.
"""

from cbam_viz.comparison.comparing import (
    MOST,
    Channels,
    Compared,
    Comparison,
    Side,
    compare,
    compare_sides,
)
from cbam_viz.comparison.differing import MapDifference, Mapped, difference, difference_on
from cbam_viz.comparison.kinship import Kinship, kinship
from cbam_viz.comparison.pairing import RULE, Match, Way, correspond

__all__ = [
    "MOST",
    "RULE",
    "Channels",
    "Compared",
    "Comparison",
    "Kinship",
    "MapDifference",
    "Mapped",
    "Match",
    "Side",
    "Way",
    "compare",
    "compare_sides",
    "correspond",
    "difference",
    "difference_on",
    "kinship",
]
