"""Sixteen maps over one photo: cbam-viz against matplotlib, and where the time goes.

    .venv/bin/python -m benchmarks render

Both sides get the same photo and the same maps in memory, and give RGB pixels (and a JPEG of them
where the row says so). The maps have the sizes of ResNet-50's 16 layers at 224 x 224 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks._harness import compare, machine, report
from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, InputSpec, Photo, prepare, read_photo
from cbam_viz.render import absolute_scale, contours, encode, overlay, place

Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

STRIDES = [4] * 3 + [8] * 4 + [16] * 6 + [32] * 3
TARGET = 0.1
"""At most this share of matplotlib's time."""


def main() -> None:
    """Print the tables."""
    print(f"Machine: {machine()}, matplotlib {mpl.__version__}")
    maps = resnet50_maps()
    against_matplotlib(1024, maps)
    against_matplotlib(512, maps)
    parts(512, maps)


def resnet50_maps() -> list[tuple[Map, Cells]]:
    """Smooth random maps, 56 x 56 to 7 x 7."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.random((224 // stride, 224 // stride)).astype(np.float32),
            Cells(stride, stride, 0.5, 0.5),
        )
        for stride in STRIDES
    ]


def scene(side: int) -> tuple[Photo, Geometry]:
    """A photo of 4 : 3, so that some of it is not seen and has to be hatched."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (side * 3 // 64, side // 16, 3), np.uint8)
    photo = read_photo(np.kron(coarse, np.ones((16, 16, 1), np.uint8)))
    return photo, prepare(photo, InputSpec(), "crop").geometry


def against_matplotlib(side: int, maps: list[tuple[Map, Cells]]) -> None:
    """The same overlays by both, at the photo's resolution."""
    photo, geometry = scene(side)

    def ours() -> list[Pixels]:
        return [draw(photo, geometry, *item) for item in maps]

    def theirs() -> list[Pixels]:
        return [matplotlib_overlay(photo, geometry, *item) for item in maps]

    def reused() -> list[Pixels]:
        axes = matplotlib_axes(photo)
        return [matplotlib_draw(axes, photo, geometry, *item) for item in maps]

    timings = compare(
        {
            "matplotlib imshow, a figure a map": theirs,
            "matplotlib imshow, one figure": reused,
            "cbam-viz": ours,
            "cbam-viz with JPEG": lambda: [encode(pixels, "jpeg") for pixels in ours()],
        },
        rounds=7,
        warmup=1,
    )
    height, width = photo.size
    targets = {"cbam-viz": TARGET, "cbam-viz with JPEG": TARGET}
    report(f"16 overlays at {width} x {height} pixels", timings, targets=targets)


def parts(side: int, maps: list[tuple[Map, Cells]]) -> None:
    """What each step of ours costs for all layers."""
    photo, geometry = scene(side)
    scale = absolute_scale()
    placed = [place(values, cells, geometry) for values, cells in maps]
    drawn = [overlay(photo.pixels, item, scale=scale) for item in placed]
    steps: dict[str, Callable[[], object]] = {
        "all: place, overlay, JPEG": lambda: [
            encode(draw(photo, geometry, *item), "jpeg") for item in maps
        ],
        "place": lambda: [place(values, cells, geometry) for values, cells in maps],
        "overlay": lambda: [overlay(photo.pixels, item, scale=scale) for item in placed],
        "JPEG": lambda: [encode(pixels, "jpeg") for pixels in drawn],
        "PNG instead": lambda: [encode(pixels) for pixels in drawn],
        "level lines instead": lambda: [
            contours(photo.pixels, item, scale=scale) for item in placed
        ],
    }
    report(f"All 16 layers at {side} pixels, step by step", compare(steps, rounds=7))


def draw(photo: Photo, geometry: Geometry, values: Map, cells: Cells) -> Pixels:
    """One overlay as the app makes it."""
    return overlay(photo.pixels, place(values, cells, geometry), scale=absolute_scale())


def matplotlib_axes(photo: Photo) -> Axes:
    """A figure of the photo's size, without margins."""
    height, width = photo.size
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return axes


def matplotlib_overlay(photo: Photo, geometry: Geometry, values: Map, cells: Cells) -> Pixels:
    """One overlay in a figure of its own."""
    return matplotlib_draw(matplotlib_axes(photo), photo, geometry, values, cells)


def matplotlib_draw(
    axes: Axes, photo: Photo, geometry: Geometry, values: Map, cells: Cells
) -> Pixels:
    """Photo and map by imshow, bilinear, placed as exactly as `extent` allows."""
    height, width = photo.size
    top, left = geometry.to_photo(
        cells.offset_y - cells.stride_y / 2, cells.offset_x - cells.stride_x / 2
    )
    bottom, right = geometry.to_photo(
        cells.offset_y + cells.stride_y * (values.shape[0] - 0.5),
        cells.offset_x + cells.stride_x * (values.shape[1] - 0.5),
    )
    axes.clear()
    axes.set_axis_off()
    axes.imshow(photo.pixels, extent=(0, width, height, 0))
    axes.imshow(
        values,
        extent=(left, right, bottom, top),
        alpha=0.55,
        vmin=0,
        vmax=1,
        cmap="viridis",
        interpolation="bilinear",
    )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    canvas: Any = axes.figure.canvas  # Agg's, which its type does not say
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


if __name__ == "__main__":
    main()
