"""The command group: which commands there are, and how a run ends.

Exit status: 0 all done, 1 some of the images failed (the others are done), 2 the command line is
wrong, 3 it cannot go on (the sentence on standard error says why), 4 an error in cbam-viz itself,
130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import cbam_viz
from cbam_viz.cli.extras import not_installed
from cbam_viz.cli.gateless import in_words_of
from cbam_viz.cli.text import whatever_the_encoding
from cbam_viz.errors import CbamVizError, NoAttentionError

DONE, SOME_FAILED, WRONG_USAGE, CANNOT_GO_ON, OUR_FAULT, INTERRUPTED = 0, 1, 2, 3, 4, 130
DEBUG = "CBAM_VIZ_DEBUG"
"""Environment variable: set to 1, errors come with their traceback."""

COMMANDS = {
    "app": "app:app",
    "batch": "batch:batch",
    "checkpoints": "checkpoints:checkpoints",
    "compare": "compare:compare",
    "completion": "completion:completion",
    "convert": "convert:convert",
    "cost": "cost:cost",
    "effects": "effects:effects",
    "evaluate": "evaluate:evaluate",
    "export": "export:export",
    "figure": "figure:figure",
    "layers": "layers:layers",
    "show": "show:show",
    "stats": "stats:stats",
    "steps": "steps:steps",
    "watch": "watch:watch",
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is needed, and ends each run in words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(f"cbam_viz.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; where a network has no gates, the command says what it can do instead."""
        try:
            return super().invoke(ctx)
        except NoAttentionError as error:
            raise in_words_of(ctx.invoked_subcommand, error) from error

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run the command line; standalone, exit with one of the documented statuses."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        try:
            status = super().main(args, standalone_mode=False, **extra)
        except click.exceptions.Exit as stop:
            sys.exit(stop.exit_code)
        except click.Abort:
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except CbamVizError as error:
            _end(f"Error: {error}", CANNOT_GO_ON)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and (missing := not_installed(error)):
                _end(f"Error: {missing}", CANNOT_GO_ON)
            kind = type(error).__name__
            hint = f"Set {DEBUG}=1 to see where, and please report it."
            _end(f"Internal error in cbam-viz: {kind}: {error}. {hint}", OUR_FAULT)
        sys.exit(status if isinstance(status, int) else DONE)


def _end(sentence: str, status: int) -> NoReturn:
    """Say why and exit, from within an except clause."""
    if os.environ.get(DEBUG, "") not in ("", "0"):
        traceback.print_exc()
    click.echo(sentence, err=True)
    sys.exit(status)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "Exit status: 0 done, 1 some images failed, 2 wrong usage, 3 cannot go on, "
        "4 an error in cbam-viz itself, 130 interrupted."
    ),
)
@click.version_option(cbam_viz.__version__, prog_name="cbam-viz")
def cli() -> None:
    """See what a CBAM network attends to: exact channel weights and spatial maps of every layer.

    Without model options the demo network in checkpoints/ is used. Images are files, folders or
    quoted patterns such as 'photos/*.jpg'.
    """


def main() -> None:
    """Entry point of the console script and of `python -m cbam_viz`."""
    whatever_the_encoding()
    cli(prog_name="cbam-viz")
