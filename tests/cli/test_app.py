"""`cbam-viz app` starts a server that answers, and stops when asked."""

from __future__ import annotations

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cbam_viz.cli import app as module
from cbam_viz.cli.app import PACKAGED, ROOT, app_script

from .conftest import invoke

NO_SIGINT = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str, patience: float) -> str:
    """The page's text, as soon as there is one."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@NO_SIGINT
def test_ctrl_c_ends_it_while_a_thread_is_in_pytorch(tmp_path: Path) -> None:
    """Python's own end aborts then: "terminate called without an active exception"."""
    busy = tmp_path / "busy.py"
    busy.write_text(
        "import threading, torch, torch.nn as nn\n"
        "from torch.autograd import Function\n"
        "def work():\n"
        "    x = torch.rand(64, 64, requires_grad=True)\n"
        "    class Slow(Function):\n"
        "        @staticmethod\n"
        "        def forward(ctx, x): return x.clone()\n"
        "        @staticmethod\n"
        "        def backward(ctx, g):\n"
        "            for _ in range(1000): torch.mm(g, g)\n"
        "            return g\n"
        "    while True: Slow.apply(x).sum().backward()\n"
        "def net():\n"
        "    threading.Thread(target=work, daemon=True).start()\n"
        "    return nn.Conv2d(3, 3, 3)\n"
    )
    status, output = started_and_stopped("--model", f"{busy}:net")
    assert status == 0, output
    assert "terminate" not in output


@NO_SIGINT
def test_the_server_answers_on_this_machine_only_and_ends_with_ctrl_c() -> None:
    status, output = started_and_stopped()
    assert status == 0, output
    assert "Traceback" not in output


def started_and_stopped(*arguments: str) -> tuple[int, str]:
    """The exit status and all output of a server that answered and then got Ctrl-C."""
    port = free_port()
    command = [sys.executable, "-m", "cbam_viz", "app", "--port", str(port), "--no-browser"]
    command += arguments
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert get(f"http://127.0.0.1:{port}/_stcore/health", patience=90) == "ok"
        assert "<html" in get(f"http://127.0.0.1:{port}/", patience=10)
    finally:
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=60)
    return running.returncode, output.decode()


def test_a_port_that_is_taken_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "run_streamlit", None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = invoke("app", "--address", "127.0.0.1", "--port", str(port))
    assert ended.exit_code == 3
    assert f"port {port}: Address already in use" in ended.stderr
    assert "--port" in ended.stderr
    assert invoke("app", "--address", "no.such.host.invalid", "--port", "8600").exit_code == 3


def test_options_reach_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(
        module, "run_streamlit", lambda folder, arguments: started.append((folder, arguments))
    )
    invoke("app", "--address", "0.0.0.0", "--port", "8600", "--theme.base=dark")
    ((folder, arguments),) = started
    assert folder == ROOT
    assert arguments[:2] == ["run", str(ROOT / "app.py")]
    assert "--server.address=0.0.0.0" in arguments
    assert "--server.port=8600" in arguments
    assert "--theme.base=dark" in arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "--nonsense"),
        (["--nonsense", "3"], "Unexpected argument '3'"),
        (["photo.jpg"], "Unexpected argument 'photo.jpg'"),
        (["--theme.nope=1"], "--theme.nope"),
        (["--server.maxUploadSize=much"], "'much' is not a valid integer"),
    ],
)
def test_options_that_nobody_takes_are_refused_in_our_words(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr("os.chdir", lambda folder: None)
    ended = invoke("app", "--no-browser", *arguments)
    assert ended.exit_code == 2
    assert said in ended.stderr
    assert re.search(r"^Usage: \S+ app", ended.stderr)
    assert "streamlit run" not in ended.stderr
    assert "--theme.base=dark" in ended.stderr


def test_a_theme_that_is_not_there_is_no_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.chdir", lambda folder: None)
    ended = invoke("app", "--no-browser", "--theme.base=pink")
    assert ended.exit_code == 3
    assert "Streamlit could not start" in ended.stderr
    assert "pink" in ended.stderr


def test_the_packaged_script_does_what_the_checkouts_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def code(path: Path) -> str:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return ast.dump(ast.Module(tree.body[1:], []))  # without the docstring

    assert code(PACKAGED) == code(ROOT / "app.py")
    monkeypatch.setattr(module, "ROOT", Path("nowhere"))
    assert app_script() == PACKAGED


def test_without_streamlit_the_app_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = invoke("app")
    assert ended.exit_code == 3
    assert 'pip install "cbam-viz[app]"' in ended.stderr
