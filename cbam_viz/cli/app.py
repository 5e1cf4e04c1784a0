"""`cbam-viz app`: start the Streamlit app."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cbam_viz._defaults import VIEW
from cbam_viz.cli.choice import ModelChoice, checkpoints_folder
from cbam_viz.cli.input_options import input_options
from cbam_viz.cli.network import open_network
from cbam_viz.cli.options import networks_options
from cbam_viz.errors import CbamVizError

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = ROOT / "cbam_viz" / "ui" / "packaged" / "app.py"
"""For installations without a checkout; its settings lie beside it, put there by setup.py."""
NOBODYS = "Neither cbam-viz app nor Streamlit has an option {}."
THEIRS = (
    "Beside its own options the app takes those of Streamlit, by their full names: "
    "--theme.base=dark, for example."
)


@click.command(
    short_help="Start the app in the browser.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="\b\nExamples:\n  cbam-viz app\n  cbam-viz app --port 8600 --no-browser\n"
    "  cbam-viz app --model mycbam.py:net --checkpoint best.pth --input 320",
)
@input_options
@networks_options
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port of the server. [default: 8501]",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Address to listen on, 0.0.0.0 for other machines too. [default: this machine only]",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser window.")
@click.pass_context
def app(
    ctx: click.Context,
    *,
    choices: tuple[ModelChoice, ...],
    port: int | None,
    address: str | None,
    no_browser: bool,
) -> int:
    """Start the app in the browser; Ctrl-C stops it.

    Networks of --model come first in its list of networks. Further options go on to Streamlit, such
    as --theme.base=dark.
    """
    files = [argument for argument in ctx.args if not argument.startswith("-")]
    if importlib.util.find_spec("streamlit") is None:
        raise CbamVizError(
            'The app needs Streamlit, which is not installed: pip install "cbam-viz[app]".'
        )
    if files:
        unknown = _unknown(ctx.args)
        near = [_near(option, ctx.command) for option in unknown]
        said = [NOBODYS.format(option) + hint for option, hint in zip(unknown, near, strict=True)]
        said.append(
            f"Unexpected argument {files[0]!r}. Photos and checkpoints are opened in the app "
            f"(checkpoints also from the folder {checkpoints_folder()}); values of Streamlit's "
            "options are given with =, such as --theme.base=dark."
        )
        raise click.UsageError(" ".join(said), ctx)
    _offer(choices)
    script = app_script()
    settings = {"server.address": address or "localhost"}
    if port is not None:
        refuse_taken(address or "localhost", port)
        settings["server.port"] = str(port)
    if no_browser:
        settings["server.headless"] = "true"
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return run_streamlit(script.parent, ["run", str(script), *flags, *ctx.args])


def _unknown(arguments: Sequence[str]) -> list[str]:
    """Return the options of `arguments`, without their values, that Streamlit does not have."""
    named = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    run = importlib.import_module("streamlit.web.cli").main.commands["run"]
    known = {option for parameter in run.params for option in parameter.opts}
    return [option for option in named if option not in known]


def _near(option: str, command: click.Command) -> str:
    """Which of our own options may be meant."""
    ours = [name for parameter in command.params for name in parameter.opts]
    near = difflib.get_close_matches(option, ours, n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def _offer(choices: Sequence[ModelChoice]) -> None:
    """Make the networks of one's own code now, where what is wrong with them can be said.

    Raises:
        click.UsageError: options of a network without --model.
        CbamVizError: one cannot be made.
    """
    if choices[0].factory is None:
        if choices[0] != ModelChoice():
            raise click.UsageError(
                "The app takes these options with --model alone. Put checkpoints into the folder "
                f"{checkpoints_folder()}, or upload them in the app."
            )
        return
    from cbam_viz.models.offered import offer

    for choice in choices:
        offer(choice.factory or "", open_network(choice, view=VIEW))


def refuse_taken(address: str, port: int) -> None:
    """Raise CbamVizError if a server cannot listen there, which Streamlit says in its log only."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # as servers do; elsewhere it would let two of them listen
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise CbamVizError(
            f"The app cannot listen at {address}, port {port}: {error.strerror}. Stop what runs "
            "there, or choose another with --port."
        ) from error


def app_script() -> Path:
    """Return the checkout's app.py, or the packaged one."""
    in_checkout = ROOT / "app.py"
    return in_checkout if in_checkout.is_file() else PACKAGED


def run_streamlit(folder: Path, arguments: list[str]) -> int:
    """Run Streamlit's command line in this process until it ends; Ctrl-C is its ordinary end.

    Streamlit reads its settings and theme from `.streamlit` in the folder that it is started in. It
    is imported by name, because nothing but starting it belongs here.

    Raises:
        click.UsageError: options that Streamlit does not take.
        CbamVizError: Streamlit cannot start with them.
    """
    os.chdir(folder)
    command: click.Command = importlib.import_module("streamlit.web.cli").main
    ours = click.get_current_context(silent=True)
    try:
        command.main(arguments, prog_name="streamlit", standalone_mode=False)
    except click.NoSuchOption as error:
        near = f" Did you mean {error.possibilities[0]}?" if error.possibilities else ""
        near = near or (_near(error.option_name, ours.command) if ours else "")
        raise click.UsageError(
            f"{NOBODYS.format(error.option_name)}{near} {THEIRS}", ours
        ) from error
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
    except click.UsageError as error:
        raise click.UsageError(f"{error.format_message().rstrip('.')}. {THEIRS}", ours) from error
    except OSError as error:
        raise CbamVizError(f"Streamlit could not start: {error}.") from error
    _leave()
    return 0


def _leave() -> None:
    """End the process at once, without Python's own end.

    That takes the interpreter from threads in the middle of a forward or an import of PyTorch (a
    visitor's, or the one that makes the first page in advance), and C++ ends the process with an
    abort for it, or they keep it waiting.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
