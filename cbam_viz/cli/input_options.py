"""The options that say what a network is fed, one group for all commands that run one.

The texts are read by `cbam_viz.images.options`, as they are in the app.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from cbam_viz.cli.inputs import Reading
from cbam_viz.errors import CbamVizError

Command = TypeVar("Command", bound=Callable[..., Any])


class _Read(click.ParamType):  # type: ignore[type-arg]  # before 8.4 it takes no [...]
    """A text that a function of the package reads; its CbamVizError becomes a usage error."""

    def __init__(self, name: str, home: str, function: str) -> None:
        self.name = name
        self._home, self._function = home, function

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text says."""
        if not isinstance(value, str):
            return value
        read = getattr(importlib.import_module(self._home), self._function)
        try:
            return read(value)
        except CbamVizError as error:
            return self.fail(str(error), param, ctx)


def _read(name: str, function: str) -> _Read:
    return _Read(name, "cbam_viz.images.options", function)


_INPUT_OPTIONS = (
    click.option(
        "--input",
        "size",
        type=_read("size", "read_size"),
        metavar="PIXELS",
        help="Size of the network's input: 640, or height x width as 480x640.",
    ),
    click.option(
        "--fit",
        type=_read("fit", "read_fit"),
        metavar="WAY",
        help="How a photo is fitted into it: crop, squash, border (of the mean colour), letterbox "
        "or letterbox:GREY (0 to 255), rectangle (a letterbox no larger than needed, as YOLO's). "
        "[default: the network's own, else crop]",
    ),
    click.option(
        "--crop-pct",
        type=click.FloatRange(0, min_open=True),
        metavar="SHARE",
        help="Side of the input over the side that the photo is resized to.",
    ),
    click.option(
        "--interpolation",
        type=click.Choice(
            ["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos", "opencv"]
        ),
        help="How it is resized: by a filter of Pillow's, or OpenCV's bilinear one as in YOLO.",
    ),
    click.option(
        "--mean",
        type=_read("values", "read_values"),
        metavar="VALUES",
        help="What is subtracted, by channel: 0.485,0.456,0.406, one for all channels, or none.",
    ),
    click.option(
        "--std",
        type=_read("values", "read_values"),
        metavar="VALUES",
        help="What is divided by then, likewise.",
    ),
    click.option(
        "--range",
        "value_range",
        type=click.Choice(["0..1", "0..255"]),
        help="Values of black and white before that. [default: the network's own, else 0..1]",
    ),
    click.option(
        "--channels",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Channels that the network takes; 1 shows it photos in grey. [default: found out]",
    ),
    click.option("--bgr", is_flag=True, help="Blue first; --mean and --std in this order too."),
    click.option(
        "--classes",
        type=_Read("file", "cbam_viz.models.names", "read_names_file"),
        metavar="FILE",
        help="Names of the classes: a line each in the order of the outputs, or JSON.",
    ),
)


def input_options(command: Command) -> Command:
    """Add the group; it becomes part of each ModelChoice, so it stands above the model options."""

    @functools.wraps(command)
    def collect(
        *,
        fit: tuple[Any, int | None] | None,
        value_range: Any,
        size: Any,
        crop_pct: float | None,
        interpolation: Any,
        mean: Any,
        std: Any,
        channels: int | None,
        bgr: bool,
        **values: Any,
    ) -> Any:
        crop_mode, fill = fit or (None, None)
        given = {
            "size": size, "crop_mode": crop_mode, "fill": fill, "crop_pct": crop_pct,
            "interpolation": interpolation, "mean": mean, "std": std, "range": value_range,
            "channels": channels, "bgr": bgr,
        }  # fmt: skip
        asked = None
        if any(value is not None and value is not False for value in given.values()):
            from cbam_viz.images import InputOptions

            asked = InputOptions(**given)
        return command(input=asked, **values)

    for option in reversed(_INPUT_OPTIONS):
        collect = option(collect)
    return cast(Command, collect)


_READING_OPTIONS = (
    click.option(
        "--window",
        type=_read("window", "read_window"),
        metavar="LOW,HIGH",
        help="Values that are black and white, for images of more than 8 bits. [default: the "
        "network's, else what the file declares, 0,65535 for 16 bits]",
    ),
    click.option(
        "--slice",
        "index",
        type=click.IntRange(0),
        metavar="N",
        help="Which slice of a volume (NIfTI, DICOM of several frames), from 0. "
        "[default: the middle one]",
    ),
)


def reading_options(command: Command) -> Command:
    """Add --window and --slice; the command gets `reading: Reading`."""

    @functools.wraps(command)
    def collect(*, window: tuple[float, float] | None, index: int | None, **values: Any) -> Any:
        return command(reading=Reading(window, index), **values)

    for option in reversed(_READING_OPTIONS):
        collect = option(collect)
    return cast(Command, collect)


def also_option(command: Command) -> Command:
    """Add --also."""
    return click.option(
        "--also",
        multiple=True,
        metavar="IMAGE",
        help="Further image of one input, for change detection or stereo; may be repeated.",
    )(command)
