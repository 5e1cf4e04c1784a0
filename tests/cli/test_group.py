"""How the command starts, what its help costs, and how each kind of ending looks to a script."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import tomllib
from click.testing import CliRunner
from packaging.requirements import Requirement

import cbam_viz
from cbam_viz.cli import group, text
from cbam_viz.cli.extras import EXTRAS, not_installed
from cbam_viz.cli.group import COMMANDS, LazyGroup, cli
from cbam_viz.errors import ModelError


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a fresh process, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "cbam_viz", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_quick_and_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys; from cbam_viz.cli import main\n"
        f"sys.argv = {['cbam-viz', *filter(None, [command]), '--help']!r}\n"
        "try: main()\n"
        "finally: print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    command_line = [sys.executable, "-c", code]
    seconds = []
    for _ in range(3):
        before = os.times()
        ended = subprocess.run(command_line, capture_output=True, text=True, check=False)
        after = os.times()
        spent = after.children_user + after.children_system
        seconds.append(spent - before.children_user - before.children_system)
    assert ended.returncode == 0
    assert "Usage: cbam-viz" in ended.stdout
    heavy = {"torch", "timm", "streamlit", "matplotlib", "numpy", "cv2", "PIL", "tqdm"}
    assert not heavy.intersection(ended.stderr.split())
    assert min(seconds) < 0.5  # of processor time: other work on the machine does not count


def test_the_help_names_every_command_with_a_sentence() -> None:
    listed = CliRunner().invoke(cli, ["--help"]).output
    for name in COMMANDS:
        assert f"\n  {name} " in listed
    assert set(COMMANDS) == set(cli.list_commands(click.Context(cli)))


def test_version() -> None:
    assert run("--version").stdout == f"cbam-viz, version {cbam_viz.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shwo"], "No such command 'shwo'"),
        (["show"], "Missing argument 'IMAGE'"),
        (["show", "x.jpg", "--opacity", "2"], "'--opacity'"),
        (["export", "x.jpg"], "Missing option '--output'"),
        (["convert", "a.pth", "-o", "a.pth"], "must end in .safetensors"),
    ],
)
def test_wrong_usage_is_status_2_with_a_sentence(arguments: list[str], message: str) -> None:
    ended = CliRunner().invoke(cli, arguments)
    assert ended.exit_code == 2
    assert message in ended.output
    assert "Traceback" not in ended.output


def group_with(error: BaseException) -> LazyGroup:
    """A group whose only command raises."""

    class Broken(LazyGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            @click.command()
            def fail() -> None:
                raise error

            return fail

    return Broken("broken")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (
            ModelError("No such network. Take resnet18."),
            3,
            "Error: No such network. Take resnet18.\n",
        ),
        (ZeroDivisionError("x"), 4, "Internal error in cbam-viz: ZeroDivisionError: x."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (click.UsageError("wrong"), 2, "wrong"),
        (click.exceptions.Exit(1), 1, ""),
    ],
)
def test_every_ending_has_its_status_and_no_traceback(
    error: BaseException, status: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CBAM_VIZ_DEBUG", raising=False)
    ended = CliRunner().invoke(group_with(error), ["fail"])
    assert ended.exit_code == status
    assert text in ended.stderr
    assert ended.stdout.strip() == ""
    assert "Traceback" not in ended.output


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBAM_VIZ_DEBUG", "1")
    ended = CliRunner().invoke(group_with(ModelError("No.")), ["fail"])
    assert ended.exit_code == 3
    assert "Traceback" in ended.stderr
    assert "ModelError: No." in ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_for_this_command(shell: str) -> None:
    ended = CliRunner().invoke(cli, ["completion", shell])
    assert ended.exit_code == 0
    assert "_CBAM_VIZ_COMPLETE" in ended.output
    assert "cbam-viz" in ended.output


def test_completion_completes_commands() -> None:
    ended = run(_CBAM_VIZ_COMPLETE="bash_complete", COMP_WORDS="cbam-viz ex", COMP_CWORD="1")
    assert ended.stdout.split() == ["plain,export"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no broken pipes")
def test_a_reader_that_leaves_early_sees_no_error() -> None:
    command = [sys.executable, "-c", "import sys; from cbam_viz.cli import main; main()"]
    running = subprocess.Popen(
        [*command, "figure", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    errors = running.stderr.read()
    assert running.wait(timeout=60) == 1
    assert errors == b""


def test_what_the_encoding_lacks_is_escaped_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a pipe is cp1252, which has neither the minus sign nor Chinese class names."""

    def command(**_: object) -> None:
        text.say("mean \u22121.5, caf\u00e9")
        text.print_json({"\u732b": "caf\u00e9 \U0001f431"})

    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(group, "cli", command)
    group.main()
    out.flush()
    first, _, rest = out.buffer.getvalue().decode("cp1252").partition("\n")
    assert first.strip() == "mean \\u22121.5, caf\u00e9"
    assert json.loads(rest) == {"\u732b": "caf\u00e9 \U0001f431"}


def test_a_package_of_an_extra_that_is_missing_is_a_sentence() -> None:
    code = (
        "import sys; sys.modules['tueplots'] = None; from cbam_viz.cli import main\n"
        "sys.argv = ['cbam-viz', 'figure', '--list-venues']; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert ended.stderr == (
        'Error: This needs tueplots, which is not installed: pip install "cbam-viz[figures]".\n'
    )


def test_every_package_of_an_extra_is_known_by_it() -> None:
    with (Path(cbam_viz.__file__).parents[1] / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    for name, packages in EXTRAS.items():
        required = {Requirement(text).name for text in extras[name]} - {"cbam-viz"}
        assert required == set(packages), name
    assert not not_installed(ModuleNotFoundError("of our own", name="cbam_viz.gone"))
