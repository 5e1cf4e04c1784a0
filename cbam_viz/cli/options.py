"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from typing import Any, TypeVar, cast

import click

from cbam_viz._defaults import OPACITY
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.drawing import Style
from cbam_viz.cli.own_code import own_code

Command = TypeVar("Command", bound=Callable[..., Any])

_MODEL_OPTIONS = (
    click.option(
        "--checkpoint",
        "-c",
        metavar="FILE|NAME",
        help="Weights: a .safetensors, .pth or .pt file, or a name that 'checkpoints' lists. "
        "[default: the demo network]",
    ),
    click.option(
        "--architecture",
        "-a",
        metavar="NAME",
        help="Network as timm calls it, such as resnet50. [default: inferred from the checkpoint]",
    ),
    click.option(
        "--attention",
        type=click.Choice(["cbam", "lcbam", "none"]),
        help="Attention layer in the network's blocks; none for the network as timm defines it. "
        "[default: what the checkpoint holds, else cbam]",
    ),
    click.option(
        "--num-classes",
        type=click.IntRange(1),
        metavar="N",
        help="Classes of the network. Inferred from the checkpoint.",
    ),
    click.option(
        "--model",
        "factory",
        metavar="MODULE:FACTORY",
        help="Your own Python network: FACTORY() in MODULE (or in a .py file) returns it. "
        "This runs that code.",
    ),
    click.option(
        "--allow-missing-attention",
        is_flag=True,
        help="Go on with a checkpoint that lacks attention weights; what is shown is then noise.",
    ),
)

opacity_option = click.option(
    "--opacity",
    metavar="SHARE",
    type=click.FloatRange(0, 1),
    default=OPACITY,
    show_default=True,
    help="Of the map over the photo: 0 only the photo, 1 only the map.",
)

_PICTURE_OPTIONS = (
    click.option(
        "--scale",
        type=click.Choice(["absolute", "shared", "per-map"]),
        default="absolute",
        show_default=True,
        help="Range of the colours: 0 to 1, one range for all layers of an image, or each map its "
        "own.",
    ),
    click.option(
        "--colormap",
        type=click.Choice(["viridis", "cividis", "magma", "inferno", "grey", "diverging"]),
        default="viridis",
        show_default=True,
        help="Colour map.",
    ),
    opacity_option,
    click.option(
        "--max-side",
        type=click.IntRange(16),
        metavar="PIXELS",
        help="Longer side of an overlay at most. [default: the photo's own]",
    ),
)


def model_options(command: Command) -> Command:
    """Add the options that choose a network; the command gets `choice: ModelChoice`."""

    @functools.wraps(command)
    def collect(**values: Any) -> Any:
        choice = ModelChoice(
            **{field.name: values.pop(field.name) for field in fields(ModelChoice)}
        )
        with nullcontext() if choice.factory is None else own_code(choice.factory):
            return command(choice=choice, **values)

    for option in reversed(_MODEL_OPTIONS):
        collect = option(collect)
    return cast(Command, collect)


def _default_view() -> str:
    """Ask when a command runs: help must not wait for what `cbam_viz.images` imports."""
    from cbam_viz.images import DEFAULT_VIEW

    return DEFAULT_VIEW


def view_option(command: Command) -> Command:
    """Add --view."""
    return click.option(
        "--view",
        type=click.Choice(["crop", "whole"]),
        default=_default_view,
        show_default="crop, on which networks are evaluated",
        help="What the network sees: its own resize and centre crop, or the whole image.",
    )(command)


def _window(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    """LOW,HIGH as two numbers."""
    if value is None:
        return None
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not LOW,HIGH, such as 0,4095.") from None
    return low, high


def window_option(command: Command) -> Command:
    """Add --window."""
    return click.option(
        "--window",
        callback=_window,
        metavar="LOW,HIGH",
        help="Values that are black and white, for images of more than 8 bits. [default: what the "
        "file declares, 0,65535 for 16 bits]",
    )(command)


def picture_options(command: Command) -> Command:
    """Add the options of overlays; the command gets `style: Style`."""

    @functools.wraps(command)
    def collect(**values: Any) -> Any:
        style = Style(**{field.name: values.pop(field.name) for field in fields(Style)})
        return command(style=style, **values)

    for option in reversed(_PICTURE_OPTIONS):
        collect = option(collect)
    return cast(Command, collect)


def force_option(command: Command) -> Command:
    """Add --force."""
    return click.option("--force", "-f", is_flag=True, help="Overwrite files that exist.")(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON on standard output, for scripts."
    )(command)
