"""What many photos together say of a network's gates: statistics of the stores of `batch`.

`reading` opens a store and gives one layer's gates shard by shard, so that a store of any size fits
into memory; `moments` are exact means and variances that grow with each shard, and `sums` keeps
them beside the store, so that views need not read gates again; `gates` makes of them what is told
of a layer, by class; `photos` finds photos by their weights; `comparing` puts two stores beside
each other.
"""

from cbam_viz.dataset.comparing import Change, compare_stores
from cbam_viz.dataset.gates import GateSummary, Selectivity, gate_summary, selectivity
from cbam_viz.dataset.moments import Moments
from cbam_viz.dataset.photos import Ranked, extremes, neighbours, unusual
from cbam_viz.dataset.reading import Block, Store, open_store, sample_stores
from cbam_viz.dataset.sums import sum_up

__all__ = [
    "Block",
    "Change",
    "GateSummary",
    "Moments",
    "Ranked",
    "Selectivity",
    "Store",
    "compare_stores",
    "extremes",
    "gate_summary",
    "neighbours",
    "open_store",
    "sample_stores",
    "selectivity",
    "sum_up",
    "unusual",
]
