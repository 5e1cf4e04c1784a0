"""The page that a figure is drawn on: a matplotlib Figure of exact size, addressed in points.

No pyplot and none of matplotlib's global settings: everything that has a size, a colour or a font
is told so outright, so that a figure looks the same in every program.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.ask.venues import POINTS_PER_INCH, venue
from cbam_viz.figures.paper import typesetting
from cbam_viz.figures.paper.rect import Rect

INK = "black"
SOFT = "0.45"
"""Grey of rules and axes."""

NOTEBOOK_DPI = 110
"""Of a figure shown in a notebook; notebooks are kept in version control."""

HAIRLINE = 0.4
"""Points."""

_DESCENT = 0.24
"""Room below a baseline, in type sizes."""


class PaperFigure(Figure):
    """A matplotlib Figure that shows itself in notebooks without pyplot."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.missing_letters: set[str] = set()
        """Letters of its texts that no installed font has; a square is drawn in their place."""
        self.channels_in_a_step = 1
        """How many neighbouring channels a bar of its charts stands for at most."""
        self.cells_without_lines = False
        """Whether cells of a map are too narrow for the lines that were asked for."""
        self.labels_left_out = False
        """Whether labels of what was found had no room."""
        self.ranges_left_out = False
        """Whether maps are too small for the ends of their scales."""

    def _repr_png_(self) -> bytes:
        from cbam_viz.figures.paper.output import render

        return render(self, "png", dpi=NOTEBOOK_DPI)


@dataclass(frozen=True)
class Sheet:
    """A figure while it is drawn. x and y are points from the top left."""

    figure: PaperFigure
    width: float
    height: float
    font: str
    size: float
    small: float

    def fraction(self, rect: Rect) -> tuple[float, float, float, float]:
        """Left, bottom, width, height as matplotlib counts them."""
        return (
            rect.x / self.width,
            1 - rect.bottom / self.height,
            rect.width / self.width,
            rect.height / self.height,
        )

    def axes(self, rect: Rect, gid: str) -> Axes:
        """Bare axes that fill the rectangle: no ticks, no frame, no margins."""
        axes = self.figure.add_axes(self.fraction(rect), label=gid)
        axes.set_axis_off()
        axes.set_gid(gid)
        return axes

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float | None = None,
        ha: str = "center",
        va: str = "baseline",
        color: str = INK,
        bold: bool = False,
        rotation: float = 0,
        gid: str | None = None,
        box: dict[str, Any] | None = None,
    ) -> Text:
        """One line of text; `$` and `_` are letters like any other."""
        drawn, _, missing = typesetting.drawable(text, self.font)
        self.figure.missing_letters.update(missing)
        return self.figure.text(
            x / self.width,
            1 - y / self.height,
            drawn,
            fontproperties=typesetting.properties(text, self.font, size or self.size, bold),
            ha=ha,
            va=va,
            color=color,
            rotation=rotation,
            rotation_mode="anchor",
            parse_math=False,
            usetex=False,
            gid=gid,
            bbox=box,
        )

    def lines(
        self,
        rect: Rect,
        lines: list[str],
        *,
        size: float | None = None,
        ha: str = "center",
        va: str = "center",
        gid: str | None = None,
    ) -> None:
        """Lines of text at the top, in the middle or at the bottom of a rectangle."""
        size = size or self.size
        step = typesetting.line_height(size)
        spare = rect.height - step * len(lines)
        y = rect.y + spare * {"top": 0.0, "center": 0.5, "bottom": 1.0}[va]
        x = {"left": rect.x, "center": rect.x + rect.width / 2, "right": rect.right}[ha]
        for number, line in enumerate(lines):
            name = gid and (gid if len(lines) == 1 else f"{gid} line {number + 1}")
            baseline = y + step * (number + 1) - size * _DESCENT
            self.text(x, baseline, line, size=size, ha=ha, gid=name)

    def rule(self, x0: float, y0: float, x1: float, y1: float, *, color: str = SOFT) -> None:
        """A hairline."""
        self.figure.add_artist(
            Line2D(
                [x0 / self.width, x1 / self.width],
                [1 - y0 / self.height, 1 - y1 / self.height],
                color=color,
                linewidth=HAIRLINE,
                linestyle="-",
                marker="",
                solid_capstyle="butt",
                transform=self.figure.transFigure,
            )
        )

    def measure(self, text: str, size: float | None = None) -> float:
        """Width of the text in points."""
        return typesetting.text_width(text, self.font, size or self.size)


@dataclass(frozen=True)
class Style:
    """Width and type of a figure, before its height is known."""

    width: float
    max_height: float
    font: str
    size: float
    small: float

    def sheet(self, height: float) -> Sheet:
        """An empty page of that height."""
        figure = PaperFigure(
            figsize=(self.width / POINTS_PER_INCH, height / POINTS_PER_INCH),
            dpi=POINTS_PER_INCH,
            facecolor="white",
            edgecolor="white",
            linewidth=0,
            frameon=True,
        )
        figure.set_layout_engine("none")  # whatever the user's settings say
        figure.suppressComposite = True  # each picture stays an image of its own
        return Sheet(figure, self.width, height, self.font, self.size, self.small)

    def measure(self, text: str, size: float | None = None) -> float:
        """Width of the text in points."""
        return typesetting.text_width(text, self.font, size or self.size)

    def wrap(
        self, text: str, width: float, *, size: float | None = None, lines: int = 2
    ) -> list[str]:
        """The text in lines of that width."""
        return typesetting.wrap(text, width, self.font, size or self.size, lines)

    def fits(self, text: str, width: float, *, size: float | None = None, lines: int = 2) -> bool:
        """Whether so many lines hold the text whole, broken at the usual places only."""
        return typesetting.fits(text, width, self.font, size or self.size, lines)

    @property
    def smaller(self) -> Style:
        """All text in the venue's smallest type, for figures with no room for the usual one."""
        return replace(self, size=self.small)


def style_of(spec: FigureSpec) -> Style:
    """What the venue, the width and the font of a figure come to.

    Raises:
        FigureError: if the font cannot be used.
    """
    place = venue(spec.venue)
    return Style(
        width=place.width(spec.width),
        max_height=0.88 * place.text_height,
        font=typesetting.resolve_font(spec.font, place.family),
        size=place.size,
        small=place.small,
    )
