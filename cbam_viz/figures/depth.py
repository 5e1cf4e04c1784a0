"""One photo through all layers: a strip of maps in order of execution, wrapped by stage."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from cbam_viz.errors import FigureError
from cbam_viz.figures.content import (
    MapPicture,
    Picture,
    Study,
    find_layer,
    scales_of,
    short_names,
    spatial_map,
)
from cbam_viz.figures.grid import letter
from cbam_viz.figures.legend import draw_legend, legend_height
from cbam_viz.figures.marks import draw_marks
from cbam_viz.figures.pictures import Rasters, aspect_of, draw_picture, region_of
from cbam_viz.figures.plan import (
    GAP,
    Rect,
    choose_per_line,
    plan_lines,
)
from cbam_viz.figures.sheet import PaperFigure, Style, style_of
from cbam_viz.figures.spec import FigureSpec
from cbam_viz.figures.typesetting import line_height
from cbam_viz.render import Scale

SMALLEST_PICTURE = 44.0
"""Points: what a picture in a strip is at least wide where the figure chooses."""

NARROWEST_PICTURE = 30.0
"""Of a tall photo: its heading still fits."""

_HEAD_GAP = 1.5
_LINE_GAP = 4.0


@dataclass(frozen=True)
class Strip:
    """One photo's maps in order of execution."""

    picture: Picture
    maps: tuple[MapPicture, ...]
    heads: tuple[str, ...]
    """Of each map."""
    groups: tuple[int, ...]
    """How many maps each stage has."""
    scale: Scale | None
    """None: each map has its own."""


def depth_content(spec: FigureSpec, study: Study) -> Strip:
    """The maps of all layers, or of `spec.layers`, that have a spatial map.

    Raises:
        FigureError: for more than one photo, or if no layer has a spatial map.
    """
    if len(study.analyses) > 1:
        raise FigureError(
            f"A strip through the layers shows one photo; there are {len(study.analyses)}. "
            "Give one, or use the layout 'grid'."
        )
    analysis = study.analyses[0][0]
    attention = analysis.attention
    chosen = [find_layer(attention, name) for name in spec.layers or attention]
    layers = [layer for layer in chosen if layer.spatial is not None]
    if not layers:
        raise FigureError(
            "None of these layers has a spatial map. Use the layout 'channels' to show their "
            "channel weights."
        )
    maps = [spatial_map(layer) for layer in layers]
    scales = scales_of(spec, [[values] for values, _ in maps])
    short = short_names(attention)
    groups: list[int] = []
    for index, layer in enumerate(layers):
        if index and layer.stage == layers[index - 1].stage:
            groups[-1] += 1
        else:
            groups.append(1)
    return Strip(
        Picture(analysis),
        tuple(
            MapPicture(analysis, layer.name, (found,), scale)
            for layer, found, scale in zip(layers, maps, scales, strict=True)
        ),
        tuple(short[layer.name] for layer in layers),
        tuple(groups),
        None if spec.scale == "per map" else scales[0],
    )


def draw_depth(spec: FigureSpec, strip: Strip) -> PaperFigure:
    """Draw what `depth_content` found, the photo first."""
    style = style_of(spec)
    pictures: list[Picture | MapPicture] = [strip.picture, *strip.maps]
    heads = ("Input", *strip.heads)
    # The photo leads the first stage's line.
    groups = (strip.groups[0] + 1, *strip.groups[1:])
    aspect = aspect_of(region_of(strip.picture.analysis, spec.row(0), spec))
    # A tall photo may be narrow, a panorama needs width: both are seen as a square of that area.
    shape = 1.0 if 0.5 <= aspect <= 1 else aspect
    smallest = max(NARROWEST_PICTURE, SMALLEST_PICTURE / shape**0.5)
    per_line = spec.per_line or choose_per_line(groups, style.width, smallest)
    per_line = min(per_line, len(pictures))
    if per_line <= 2:  # one missing picture would leave half a line white
        groups = (len(pictures),)
    rects = _rects(groups, per_line, style, aspect, heads=spec.heads)
    sheet = style.sheet(rects[-1].bottom + legend_height(style))
    rasters = Rasters(spec.image_dpi)
    for index, (picture, rect) in enumerate(zip(pictures, rects, strict=True)):
        gid = f"picture {index + 1}"
        if spec.heads:
            (head,) = style.wrap(heads[index], rect.width, lines=1)
            baseline = rect.y - _HEAD_GAP - 0.24 * style.size
            sheet.text(rect.x + rect.width / 2, baseline, head, gid=f"head {index + 1}")
        drawn = draw_picture(
            sheet, rect, picture, spec=spec, row=spec.row(0), rasters=rasters, gid=gid
        )
        mark = letter(index) if spec.letters in ("cells", "columns") else ""
        draw_marks(sheet, drawn, spec, spec.row(0), mark)
    draw_legend(sheet, "Spatial attention", strip.scale, spec.colormap)
    return sheet.figure


def _stages_align(lines: list[list[int]]) -> bool:
    """Whether all lines, given as sizes of their stages, break at the same columns."""
    ends = [list(accumulate(line)) for line in lines]
    breaks = {end for line in ends for end in line[:-1]}
    return all(end in line for line in ends for end in breaks if end < line[-1])


def _rects(
    groups: tuple[int, ...], per_line: int, style: Style, aspect: float, *, heads: bool
) -> list[Rect]:
    """Places of all pictures: lines of stages, a wider gap between two stages in a line.

    Columns stay straight: where stages end at different columns of two lines, all gaps are alike.
    """
    lines = plan_lines(groups, per_line)
    longest = max(sum(count for _, count in line) for line in lines)
    breaks = max(len(line) for line in lines) - 1
    stage_gap = 2 * GAP if _stages_align([[count for _, count in line] for line in lines]) else GAP
    width = (style.width - GAP * (longest - 1) - (stage_gap - GAP) * breaks) / longest
    head = line_height(style.size) + _HEAD_GAP if heads else 0.0
    height = width * aspect
    too_high = len(lines) * (height + head + _LINE_GAP) + legend_height(style) > style.max_height
    if too_high:
        height = (style.max_height - legend_height(style)) / len(lines) - head - _LINE_GAP
    rects = []
    y = 0.0
    for line in lines:
        x = 0.0
        y += head
        for _, count in line:
            for _ in range(count):
                rects.append(Rect(x, y, width, height))
                x += width + GAP
            x += stage_gap - GAP
        y += height + _LINE_GAP
    return rects
