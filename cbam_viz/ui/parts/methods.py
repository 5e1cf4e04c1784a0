"""Which other methods' maps the app offers."""

from __future__ import annotations

NOT_HERE = ("scorecam",)
"""Methods that take as many forwards as a layer has channels: half a minute and more of a server
that others use too. The command line has them."""


def offered() -> dict[str, str]:
    """Names and titles of the methods that can be chosen here."""
    from cbam_viz.methods import METHODS, is_installed

    return {
        one.name: one.title
        for one in METHODS.values()
        if one.name not in NOT_HERE and is_installed(one.name)
    }
