"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from cbam_viz._defaults import COLORMAP, COLORMAPS, OPACITY, VIEW, VIEWS
from cbam_viz._text import few
from cbam_viz.cli.choice import ModelChoice
from cbam_viz.cli.drawing import Style
from cbam_viz.cli.own_code import own_code

Command = TypeVar("Command", bound=Callable[..., Any])


def _pairs(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE texts as pairs."""
    pairs = tuple((key, value) for key, _, value in (text.partition("=") for text in values))
    for text, (key, _) in zip(values, pairs, strict=True):
        if "=" not in text or not key.isidentifier():
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, such as depth=50.")
    return pairs


_MODEL_OPTIONS = (
    click.option(
        "--checkpoint",
        "-c",
        "checkpoints",
        multiple=True,
        metavar="FILE|NAME",
        help="Weights: a .safetensors, .pth or .pt file, or a name that 'checkpoints' lists. "
        "With several --model, the first is for the first of them, and so on. "
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
        "factories",
        multiple=True,
        metavar="FILE.py:FACTORY",
        help="Your own Python network: FACTORY in a .py file or a module (package.module:factory), "
        "a function or class that makes it, or the network itself. This runs that code. "
        "'figure', 'compare' and 'app' take several.",
    ),
    click.option(
        "--model-arg",
        "arguments",
        multiple=True,
        callback=_pairs,
        metavar="KEY=VALUE",
        help="Argument of the factory, such as depth=50; may be repeated.",
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

dpi_option = click.option(
    "--dpi",
    type=click.IntRange(36, 1200),
    metavar="N",
    default=300,
    show_default=True,
    help="Resolution of PNG and TIFF.",
)


def seed_option(of: str) -> Callable[[Command], Command]:
    """The option of what the random numbers begin with; `of` says what is random."""
    return click.option(
        "--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help=of
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
        type=click.Choice(COLORMAPS),
        default=COLORMAP,
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
    def one(*, choices: tuple[ModelChoice, ...], **values: Any) -> Any:
        if len(choices) > 1:
            raise click.UsageError(
                "This command shows one network: give --model once. 'cbam-viz compare', 'cbam-viz "
                "figure' and 'cbam-viz app' show several beside each other."
            )
        return command(choice=choices[0], **values)

    return cast(Command, networks_options(one))


def networks_options(command: Command, *, each_checkpoint: bool = False) -> Command:
    """The same for several networks; the command gets `choices`, a tuple of ModelChoice.

    With `each_checkpoint`, each --checkpoint without --model is a network of its own.
    """

    @functools.wraps(command)
    def collect(
        *,
        checkpoints: tuple[str, ...],
        factories: tuple[str, ...],
        arguments: tuple[tuple[str, str], ...],
        **values: Any,
    ) -> Any:
        for factory in factories:
            if not re.fullmatch(r".+:\w[\w.]*", factory):
                raise click.UsageError(
                    "--model takes FILE.py:FACTORY or MODULE:FACTORY, such as "
                    f"my_project.networks:make, not {factory!r}.{_names_in(factory)}"
                )
        if arguments and not factories:
            raise click.UsageError("--model-arg is for a network of --model; name that too.")
        several = each_checkpoint and not factories
        if len(checkpoints) > max(1, len(factories)) and not several:
            raise click.UsageError(
                f"{len(checkpoints)} checkpoints for {max(1, len(factories))} network"
                f"{'s' if len(factories) > 1 else ''}: give --checkpoint once for each --model."
            )
        shared = {name: values.pop(name) for name in _SHARED if name in values}
        choices = tuple(
            ModelChoice(checkpoint=checkpoint, factory=factory, arguments=arguments, **shared)
            for factory, checkpoint in zip_longest(factories or (None,), checkpoints)
        )
        with own_code(factories[0]) if factories else nullcontext():
            return command(choices=choices, **values)

    for option in reversed(_MODEL_OPTIONS):
        collect = option(collect)
    return cast(Command, collect)


def _names_in(factory: str) -> str:
    """What stands in a .py file that could be meant, without running it."""
    file = Path(factory.rstrip(":"))
    try:
        parsed = ast.parse(file.read_bytes()).body if file.suffix == ".py" else []
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return ""
    made = (ast.FunctionDef, ast.ClassDef)
    names = [one.name for one in parsed if isinstance(one, made) and not one.name.startswith("_")]
    return f" In it are {few(names, shown=8)}: {file}:{names[-1]}, for example." if names else ""


_SHARED = (
    "architecture",
    "attention",
    "num_classes",
    "allow_missing_attention",
    "input",
    "classes",
)
"""Options that hold for all networks of a command."""


def view_option(command: Command) -> Command:
    """Add --view."""
    return click.option(
        "--view",
        type=click.Choice(VIEWS),
        default=VIEW,
        help="What the network sees: its own resize and centre crop, or the whole image. "
        f"[default: {VIEW}, on which networks are evaluated]",
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
