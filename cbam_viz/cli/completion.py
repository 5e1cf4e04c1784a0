"""`cbam-viz completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

WHERE = {
    "bash": 'eval "$(cbam-viz completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(cbam-viz completion zsh)"    # in ~/.zshrc',
    "fish": "cbam-viz completion fish | source   # in ~/.config/fish/config.fish",
}


@click.command(
    short_help="Print the completion script of a shell.", epilog="\b\n" + "\n".join(WHERE.values())
)
@click.argument("shell", type=click.Choice(list(WHERE)))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    Put the line for your shell into its start-up file:
    """
    from cbam_viz.cli.group import cli

    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(cli, {}, "cbam-viz", "_CBAM_VIZ_COMPLETE").source())
