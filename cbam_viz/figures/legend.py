"""The colour bar at a figure's foot, which says how values became colours."""

from __future__ import annotations

import math

from cbam_viz.figures.marks import MINUS
from cbam_viz.figures.pictures import OwnPixels
from cbam_viz.figures.plan import Rect
from cbam_viz.figures.sheet import Sheet, Style
from cbam_viz.render import Scale, lookup_table

_ABOVE = 7.0
_BAR = 5.5
_BELOW = 1.5
_LONGEST = 120.0


def legend_height(style: Style) -> float:
    """Room that the colour bar takes at the foot, white above it included."""
    return _ABOVE + max(_BAR, style.size) + _BELOW + style.small


def draw_legend(sheet: Sheet, what: str, scale: Scale | None, colormap: str) -> None:
    """Colour bar with its ends and its middle; `scale` None: each map has its own.

    The title stands at its left: what is shown, and on which scale.
    """
    title = f"{what}, {scale_words(scale)}"
    bar_width = min(_LONGEST, 0.32 * sheet.width)
    title_width = sheet.measure(title)
    gap = sheet.size
    if title_width + gap + bar_width > sheet.width - 2 * sheet.size:
        title = f"{what} ({scale_words(scale, short=True)})"
        title_width = sheet.measure(title)
    x = (sheet.width - title_width - gap - bar_width) / 2
    y = sheet.height - _BELOW - sheet.small - _BAR
    sheet.text(x, y + _BAR / 2 + 0.33 * sheet.size, title, ha="left", gid="legend title")
    rect = Rect(x + title_width + gap, y, bar_width, _BAR)
    axes = sheet.axes(rect, "legend axes")
    image = OwnPixels(axes, extent=(0, 1, 0, 1), origin="upper", interpolation_stage="rgba")
    image.set_data(lookup_table(colormap)[None])
    image.set_gid("legend")
    axes.add_image(image)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    ticks = (
        (("lowest", 0.0), ("highest", 1.0))
        if scale is None
        else tuple(
            (tick_text(scale.low + share * (scale.high - scale.low), scale.high - scale.low), share)
            for share in (0.0, 0.5, 1.0)
        )
    )
    for text, share in ticks:
        tick = rect.x + share * rect.width
        sheet.rule(tick, rect.bottom, tick, rect.bottom + 1.2)
        sheet.text(tick, sheet.height - 0.24 * sheet.small, text, size=sheet.small)


def scale_words(scale: Scale | None, *, short: bool = False) -> str:
    """The scale in words, such as `absolute scale`."""
    if scale is None:
        return "own range" if short else "each map on its own range"
    if scale.kind == "absolute":
        return "absolute" if short else "absolute scale"
    return "shared" if short else "one scale for all"


def tick_text(value: float, span: float) -> str:
    """A value on a scale of length `span`, to about a hundredth of it, without needless zeros.

    An end of 0.00018 on a scale up to 0.99998 is 0, and the other end 1. Without a length, four
    digits.
    """
    if span <= 0:
        return f"{value:.4g}".replace("-", MINUS)
    decimals = max(0, 2 - math.ceil(math.log10(span)))
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text.replace("-", MINUS)
