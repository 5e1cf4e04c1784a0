"""Interactive charts as plain dicts, for any page that can show them."""

from cbam_viz.charts.channels import (
    BINS,
    ORDERS,
    Highest,
    Order,
    Spread,
    channel_bars,
    highest,
    places,
    ranks,
    spread_of,
)
from cbam_viz.charts.common import Spec
from cbam_viz.charts.compare import distribution_chart, scatter_chart
from cbam_viz.charts.walkthrough import branch_chart, sigmoid_chart, vector_chart
from cbam_viz.charts.whatif import effects_chart, importance_chart

__all__ = [
    "BINS",
    "ORDERS",
    "Highest",
    "Order",
    "Spec",
    "Spread",
    "branch_chart",
    "channel_bars",
    "distribution_chart",
    "effects_chart",
    "highest",
    "importance_chart",
    "places",
    "ranks",
    "scatter_chart",
    "sigmoid_chart",
    "spread_of",
    "vector_chart",
]
