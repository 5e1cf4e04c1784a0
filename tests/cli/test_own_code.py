"""The user's own code: it prints where it likes, reads options, and ends; the command does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import invoke, write_photo
from .test_own_network import CODE

NOISY = f"""
import argparse, atexit, ctypes, os, subprocess, sys
print("noise: import", sys.argv)
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=6)
options = parser.parse_args()
atexit.register(print, "noise: exit")
{CODE}
class Noisy(Net):
    def forward(self, x):
        print("noise: forward")
        os.write(1, b"noise: descriptor\\n")
        sys.__stdout__.write("noise: original\\n")
        ctypes.CDLL(None).puts(b"noise: C")
        subprocess.run(["echo", "noise: process"])
        return super().forward(x)

def make():
    print("noise: factory")
    torch.manual_seed(0)
    return Noisy()
"""


@pytest.fixture
def noisy(folder: Path) -> Path:
    (folder / "noisy.py").write_text(NOISY)
    write_photo(folder / "photos" / "a.png", seed=1)
    write_photo(folder / "photos" / "b.png", seed=2)
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cbam_viz", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )


@pytest.mark.skipif(os.name == "nt", reason="the noise is made with POSIX means")
@pytest.mark.parametrize(
    "command",
    [
        "layers --image photos/a.png",
        "show photos/a.png",
        "cost",
        "export photos -o one --workers 1",
        "export photos -o two --workers 2",
        "figure photos/a.png -o f.svg",
    ],
)
def test_nothing_but_json_comes_out(noisy: Path, command: str) -> None:
    ended = run(*command.split(), "--model", "noisy.py:make", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)
    for source in ("import ['noisy.py']", "factory", "exit"):
        assert f"noise: {source}" in ended.stderr
    for source in ("forward", "descriptor", "original", "C", "process"):
        assert f"noise: {source}\n" in ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="the noise is made with POSIX means")
def test_tables_are_clean_too(noisy: Path) -> None:
    ended = run("layers", "--image", "photos/a.png", "--model", "noisy.py:make")
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["layer", "backbone.1"]


def test_a_manifest_names_the_whole_command(noisy: Path) -> None:
    arguments = ["figure", "photos/a.png", "-o", "f.svg", "--with", "manifest"]
    arguments += ["--model", "noisy.py:make"]
    assert run(*arguments).returncode == 0
    manifest = json.loads((noisy / "f.manifest.json").read_text("utf-8"))
    assert list(manifest["about"]["command"]) == ["cbam-viz", *arguments]


ENDING = {
    "at import": ("import sys\nsys.exit(3)\n", "sys.exit(3)) while it was imported"),
    "silently": ("raise SystemExit\n", "sys.exit()) while it was imported"),
    "with a text": ("import sys\nsys.exit('no GPU')\n", "'no GPU'"),
    "in its options": (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('data')\np.parse_args()\n",
        "sys.exit(2)) while it was imported",
    ),
    "in the factory": (
        CODE + "\ndef make():\n    raise SystemExit(0)\n",
        "sys.exit(0)) when it was called",
    ),
    "at once": ("import os\nos._exit(7)\n", "(os._exit(7)) while it was imported"),
    "at once, in the factory": (
        CODE + "\ndef make():\n    import os\n    os._exit(0)\n",
        "(os._exit(0)) when it was called",
    ),
    "in the forward": (
        CODE.replace("return self.head(", "raise SystemExit(5)\n        return self.head("),
        "ended the program (sys.exit(5))",
    ),
    "in eval": (
        CODE.replace("class Net(nn.Module):", "class Net(nn.Module):\n    def eval(self): exit(4)"),
        "sys.exit(4)) while the network was in use",
    ),
}  # fmt: skip


def test_processes_and_threads_of_ones_own_code_end_as_they_do(folder: Path) -> None:
    (folder / "forks.py").write_text(
        CODE + "\nimport os\npid = os.fork()\nif pid == 0:\n    os._exit(9)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9\n"
    )
    leave = os._exit
    ended = invoke("layers", "--model", "forks.py:make")
    assert ended.exit_code == 0, ended.output
    assert os._exit is leave


@pytest.mark.parametrize("case", sorted(ENDING))
@pytest.mark.parametrize("command", ["show p.png", "layers", "cost", "figure p.png -o f.svg"])
def test_code_that_ends_the_program_is_said(folder: Path, case: str, command: str) -> None:
    code, sentence = ENDING[case]
    (folder / "ends.py").write_text(code)
    write_photo(folder / "p.png")
    ended = invoke(*command.split(), "--model", "ends.py:make")
    assert ended.exit_code == 3, ended.output
    assert sentence in ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.output


ODD = """
class Odd(BaseException):
    pass

class Mute(Exception):
    def __str__(self):
        raise RuntimeError
"""
RAISING = {
    "a class of its own": ("Odd('gone')", "raised Odd: gone"),
    "a generator's end": ("GeneratorExit", "raised GeneratorExit"),
    "without words": ("ValueError", "raised ValueError."),
    "what cannot be said": ("Mute", "raised Mute."),
    "much": ("ValueError('x' * 10**6)", "xx…"),
    "a lone surrogate": (r"ValueError('\udcff')", r"raised ValueError: \udcff"),
}


@pytest.mark.parametrize("case", sorted(RAISING))
@pytest.mark.parametrize("command", ["show p.png", "cost"])
def test_code_that_raises_whatever_it_likes_is_said(folder: Path, case: str, command: str) -> None:
    error, sentence = RAISING[case]
    (folder / "odd.py").write_text(f"{ODD}\ndef make():\n    raise {error}\n")
    write_photo(folder / "p.png")
    ended = invoke(*command.split(), "--model", "odd.py:make")
    assert ended.exit_code == 3, ended.output
    assert sentence in ended.stderr
    assert len(ended.stderr) < 600


@pytest.mark.parametrize("error", ["Odd('gone')", "Mute"])
def test_a_forward_that_raises_whatever_it_likes_is_said(folder: Path, error: str) -> None:
    code = CODE.replace("return self.head(", f"raise {error}\n        return self.head(")
    (folder / "odd.py").write_text(ODD + code)
    write_photo(folder / "p.png")
    ended = invoke("show", "p.png", "--model", "odd.py:make")
    assert ended.exit_code == 3, ended.output
    assert error.partition("(")[0] in ended.stderr


def test_the_program_is_as_before_afterwards(folder: Path) -> None:
    (folder / "fine.py").write_text(CODE)
    arguments, stdout = sys.argv, sys.stdout
    assert invoke("cost", "--model", "fine.py:make", "--json").exit_code == 0
    assert sys.argv is arguments
    assert sys.stdout is stdout
