"""Interactive charts as plain dicts, for any page that can show them."""

from cbam_viz.charts.channels import ORDERS, Order, channel_bars, ranks
from cbam_viz.charts.common import Spec
from cbam_viz.charts.walkthrough import branch_chart, sigmoid_chart, vector_chart

__all__ = [
    "ORDERS",
    "Order",
    "Spec",
    "branch_chart",
    "channel_bars",
    "ranks",
    "sigmoid_chart",
    "vector_chart",
]
