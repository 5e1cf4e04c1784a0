"""Defaults that the app, the command line and Python share, where `--help` must not wait for more.

Importing this module imports nothing.
"""

from __future__ import annotations

from typing import Literal, get_args

OPACITY = 0.55
"""Of a map over its photo: 0 shows the photo alone, 1 the map alone."""

Colormap = Literal["viridis", "cividis", "magma", "inferno", "grey", "diverging"]

COLORMAPS: tuple[Colormap, ...] = get_args(Colormap)
"""Names, the default first. `cividis` reads the same with a red-green colour deficiency; the
neutral colour of `diverging` is the middle of the scale, 0.5 on an absolute one."""

COLORMAP: Colormap = COLORMAPS[0]

View = Literal["crop", "whole"]
"""`crop`: what timm's evaluation transform shows the network. `whole`: nothing cut off."""

VIEWS: tuple[View, ...] = get_args(View)

VIEW: View = "crop"
"""Of the app, the command line and Python alike: a network's accuracy was measured on it."""
