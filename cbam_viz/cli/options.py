"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from cbam_viz.cli.drawing import Style

if TYPE_CHECKING:
    from cbam_viz.models import LoadedModel

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER_VARIABLE = "CBAM_VIZ_CHECKPOINTS"

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
    click.option(
        "--opacity",
        metavar="SHARE",
        type=click.FloatRange(0, 1),
        default=0.55,
        show_default=True,
        help="Of the map over the photo: 0 only the photo, 1 only the map.",
    ),
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
        return command(choice=choice, **values)

    for option in reversed(_MODEL_OPTIONS):
        collect = option(collect)
    return cast(Command, collect)


def view_option(command: Command) -> Command:
    """Add --view."""
    return click.option(
        "--view",
        type=click.Choice(["crop", "whole"]),
        default="crop",
        show_default=True,
        help="What the network sees: its own resize and centre crop, or the whole image.",
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


@dataclass(frozen=True)
class ModelChoice:
    """What the command line says about the network; picklable, for worker processes."""

    checkpoint: str | None = None
    architecture: str | None = None
    attention: str | None = None
    num_classes: int | None = None
    factory: str | None = None
    allow_missing_attention: bool = False

    def open(self, *, quiet: bool = False) -> LoadedModel:
        """Build the network and load its weights; the load report goes to standard error.

        Raises
        ------
        CbamVizError
            The network cannot be built, or the checkpoint does not fit it.
        """
        from cbam_viz.cli.network import open_network

        loaded = open_network(self)
        if not quiet:
            click.echo(_origin(loaded), err=True)
        return loaded


def _origin(loaded: LoadedModel) -> str:
    if loaded.report is not None:
        return f"{loaded.name}: {loaded.report.text}"
    return f"{loaded.name}: no checkpoint, the weights are what the code made them."


def checkpoints_folder() -> Path:
    """Return where checkpoints lie: $CBAM_VIZ_CHECKPOINTS, the checkout's folder, ./checkpoints."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    beside_package = Path(__file__).resolve().parents[2] / "checkpoints"
    return beside_package if beside_package.is_dir() else Path("checkpoints")
