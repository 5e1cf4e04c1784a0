"""One photo through all layers: a strip of maps in order of execution, wrapped by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.depth import Strip
from cbam_viz.figures.content.values import MapPicture, Picture, Study
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.legend import Legend, draw_legend, legend_of
from cbam_viz.figures.draw.marks import draw_marks
from cbam_viz.figures.draw.pictures import Rasters, aspect_of, draw_picture, region_of
from cbam_viz.figures.draw.plan import (
    GAP,
    check_size,
    choose_per_line,
    plan_lines,
)
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Style, style_of
from cbam_viz.figures.wording import letter

SMALLEST_PICTURE = 44.0
"""Points: what a picture in a strip is at least wide where the figure chooses."""

NARROWEST_PICTURE = 30.0
"""Of a tall photo: its heading still fits."""

_HEAD_GAP = 1.5
_LINE_GAP = 4.0
_KEPT = 1.15
"""How much larger pictures must be for stages to be broken over lines on a short page."""


def draw(spec: FigureSpec, study: Study, strip: Strip) -> PaperFigure:
    """Draw the photo and then the maps."""
    usual = style_of(spec)
    plan = _plan(spec, strip, usual)
    if not plan.comfortable:
        plan = _plan(spec, strip, usual.smaller)
    style = plan.style
    sheet = style.sheet(plan.height)
    rasters = Rasters(spec.image_dpi)
    pictures: list[Picture | MapPicture] = [strip.picture, *strip.maps]
    for index, (picture, rect) in enumerate(zip(pictures, plan.rects(), strict=True)):
        gid = f"picture {index + 1}"
        head = plan.heads.height(style)
        room = Rect(rect.x, rect.y - _HEAD_GAP - head, rect.width, head)
        draw_head(sheet, room, plan.heads.lines[index], f"head {index + 1}")
        drawn = draw_picture(
            sheet, rect, picture, spec=spec, row=spec.row(0), rasters=rasters, gid=gid
        )
        mark = letter(index) if spec.letters in ("cells", "columns") else ""
        draw_marks(sheet, drawn, spec, spec.row(0), mark)
    draw_legend(sheet, plan.legend)
    return sheet.figure


@dataclass(frozen=True)
class _Plan:
    """Lines of pictures, stages kept together, a wider gap between two stages in a line.

    Columns stay straight: where stages end at different columns of two lines, all gaps are alike.
    """

    style: Style
    legend: Legend
    heads: Heads
    lines: list[list[tuple[int, int]]]
    """(stage, pictures of it) runs."""
    stage_gap: float
    room: float
    """Width that each picture would have if the page were long enough."""
    size: tuple[float, float]
    """Width and height of a picture."""

    @property
    def comfortable(self) -> bool:
        """Whether the usual type will do."""
        return self.heads.whole and self.legend.whole and self.size[0] >= NARROWEST_PICTURE

    @property
    def shrunk(self) -> bool:
        """Whether the page is so short that white is left beside the pictures."""
        return self.size[0] < 0.9 * self.room

    @property
    def step(self) -> float:
        """From the top of one line to that of the next."""
        return self.size[1] + _above(self.style, self.heads) + _LINE_GAP

    @property
    def height(self) -> float:
        """Of the whole figure."""
        return len(self.lines) * self.step - _LINE_GAP + self.legend.height

    def rects(self) -> list[Rect]:
        """Places of all pictures."""
        style, (width, height) = self.style, self.size
        texts = [style.measure(line) for lines in self.heads.lines for line in lines]
        pitch = min(self.room, max([width, *texts])) + GAP
        longest = max(sum(count for _, count in line) for line in self.lines)
        breaks = max(len(line) for line in self.lines) - 1
        whole = longest * pitch - GAP + breaks * (self.stage_gap - GAP)
        rects = []
        for number, line in enumerate(self.lines):
            x = (style.width - whole) / 2 + (pitch - GAP - width) / 2
            y = number * self.step + _above(style, self.heads)
            for _, count in line:
                for _ in range(count):
                    rects.append(Rect(x, y, width, height))
                    x += pitch
                x += self.stage_gap - GAP
        return rects


def _above(style: Style, heads: Heads) -> float:
    """Room for the headings of a line."""
    height = heads.height(style)
    return height + _HEAD_GAP if height else 0.0


def _plan(spec: FigureSpec, strip: Strip, style: Style) -> _Plan:
    """The lines in which the pictures leave least white; on a short page, are largest."""
    # The photo leads the first stage's line.
    groups = (strip.groups[0] + 1, *strip.groups[1:])
    aspect = aspect_of(region_of(strip.picture.analysis, spec.row(0), spec))
    # A tall photo may be narrow, a panorama needs width: both are seen as a square of that area.
    shape = 1.0 if 0.5 <= aspect <= 1 else aspect
    smallest = max(NARROWEST_PICTURE, SMALLEST_PICTURE / shape**0.5)
    count = sum(groups)
    legend = legend_of(style, "Spatial attention", strip.scale, spec.colormap)
    texts = ("Input", *strip.heads) if spec.heads else ("",) * count

    def lined(groups: tuple[int, ...], per_line: int, texts: Sequence[str] = texts) -> _Plan:
        return _lined(style, legend, groups, min(per_line, count), aspect=aspect, texts=texts)

    def largest(groups: tuple[int, ...]) -> _Plan:
        """The way of the largest pictures; without headings they are as large as they can be."""
        lengths = range(1, count + 1)
        most = {n: lined(groups, n, ("",) * count).size[0] for n in lengths}
        best: _Plan | None = None
        for n in sorted(lengths, key=lambda n: -most[n]):
            if best is not None and best.size[0] >= most[n]:
                break
            best = max(filter(None, (best, lined(groups, n))), key=lambda way: way.size[0])
        assert best is not None
        return best

    per_line = spec.per_line or choose_per_line(groups, style.width, smallest)
    # In lines of two, one missing picture would leave half a line white.
    plan = lined(groups if per_line > 2 else (count,), per_line)
    if plan.shrunk and spec.per_line is None:
        kept, broken = largest(groups), largest((count,))
        plan = kept if kept.size[0] * _KEPT >= broken.size[0] else broken
    check_size(*plan.size, count, (style.width, style.max_height))
    return plan


def _lined(
    style: Style,
    legend: Legend,
    groups: tuple[int, ...],
    per_line: int,
    *,
    aspect: float,
    texts: Sequence[str],
) -> _Plan:
    lines = plan_lines(groups, per_line)
    longest = max(sum(count for _, count in line) for line in lines)
    breaks = max(len(line) for line in lines) - 1
    stage_gap = 2 * GAP if _stages_align([[count for _, count in line] for line in lines]) else GAP
    room = (style.width - GAP * (longest - 1) - (stage_gap - GAP) * breaks) / longest
    heads = break_heads(style, texts, (room + 1,) * len(texts))
    most = (style.max_height - legend.height + _LINE_GAP) / len(lines)
    height = min(room * aspect, most - _above(style, heads) - _LINE_GAP)
    return _Plan(style, legend, heads, lines, stage_gap, room, (height / aspect, height))


def _stages_align(lines: list[list[int]]) -> bool:
    """Whether all lines, given as sizes of their stages, break at the same columns."""
    ends = [list(accumulate(line)) for line in lines]
    breaks = {end for line in ends for end in line[:-1]}
    return all(end in line for line in ends for end in breaks if end < line[-1])
