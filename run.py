"""Set up and start cbam-viz: the only commands that a fresh checkout needs.

    python3 run.py app      make .venv, install what the app needs, start the app
    python3 run.py tests    the same with the test tools, then run the whole test suite
    python3 run.py check    lint, formatting, types and the import contract
    python3 run.py floors   the quick tests with the oldest packages that pyproject.toml allows

Further arguments go on to Streamlit or pytest: `python3 run.py tests tests/cli -x`. Packages are
installed again only when a requirements file has changed. Standard library only: this file runs
before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

OLDEST_PYTHON = (3, 11)
"""The pinned Streamlit and NumPy need it; the package itself runs on 3.10."""
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
APP_REQUIREMENTS = ("requirements.txt",)
TEST_REQUIREMENTS = ("requirements.txt", "requirements-test.txt")
THIRD_PARTY = "requirements-third-party.txt"
FLOORS = ROOT / ".venv-floors"
FLOOR_EXTRAS = ("app", "figures", "methods", "batch")
FLOOR_TESTS = (
    "tests/cli",
    "tests/images",
    "tests/models/test_formats.py",
    "tests/models/test_load.py",
    "tests/render",
    "tests/store",
    "tests/figures/paper/test_output.py",
    "tests/ui/test_pages.py",
    "tests/test_public_api.py",
)
FLOOR_SKIPS = (
    "tests/cli/test_app.py",
    "tests/cli/test_going_on.py",
    "tests/cli/test_own_code.py",
    "tests/cli/test_processes.py",
    "tests/images/test_memory.py",
)
"""Most of these wait for processes to start; what they import, the others do too."""


def main() -> int:
    """Run the command that was asked for; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["app", "tests", "check", "floors", "install"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="go on to Streamlit or pytest")
    options = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        found = ".".join(map(str, sys.version_info[:3]))
        return complain(f"cbam-viz needs Python {wanted} or newer, and this is {found}.")
    with_tests = options.command != "app"
    try:
        if options.command != "floors":
            install(with_tests)
    except subprocess.CalledProcessError as error:
        return complain(f"Installing failed (exit status {error.returncode}); the reason is above.")
    commands = {"app": run_app, "tests": run_tests, "check": run_checks, "floors": run_floors}
    try:
        run = commands.get(options.command)
        return run(options.arguments) if run else 0
    except KeyboardInterrupt:
        return 130


def complain(sentence: str) -> int:
    """Print what went wrong; return a failing exit status."""
    print(sentence, file=sys.stderr)
    return 1


def install(with_tests: bool) -> None:
    """Make the virtual environment and bring it to the pinned versions, if it is not there yet."""
    if not PYTHON.exists():
        print(f"Making a virtual environment in {VENV} ...", flush=True)
        make_environment()
    files = TEST_REQUIREMENTS if with_tests else APP_REQUIREMENTS
    stamps = {VENV / ".installed-app": fingerprint([*APP_REQUIREMENTS, "pyproject.toml"])}
    if with_tests:
        everything = [*TEST_REQUIREMENTS, THIRD_PARTY, "pyproject.toml"]
        stamps[VENV / ".installed-tests"] = fingerprint(everything)
    if all(stamp.exists() and stamp.read_text() == wanted for stamp, wanted in stamps.items()):
        return
    print("Installing packages (the first time takes some minutes) ...", flush=True)
    pip_install(*(argument for name in files for argument in ("-r", str(ROOT / name))))
    if with_tests:
        # Without their dependencies: some of them ask for another torch or a second OpenCV.
        pip_install("--no-deps", "-r", str(ROOT / THIRD_PARTY))
    pip_install("--no-deps", "--editable", str(ROOT), talkative=False)
    for stamp, wanted in stamps.items():
        stamp.write_text(wanted)


def make_environment() -> None:
    """Make .venv with pip in it."""
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        raise SystemExit(
            "Python could not make a virtual environment. On Debian and Ubuntu the package "
            "python3-venv is missing: install it, delete the folder .venv and try again."
        ) from None


def fingerprint(names: list[str]) -> str:
    """Hash of the interpreter's version and the files' bytes."""
    digest = hashlib.sha256(sys.version.encode())
    for name in names:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def pip_install(*arguments: str, talkative: bool = True) -> None:
    """Install into .venv; raise CalledProcessError if pip fails.

    Unless `talkative`, what pip says is shown only if it fails.
    """
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    output = None if talkative else subprocess.PIPE
    done = subprocess.run([*command, *arguments], stdout=output, stderr=output, check=False)
    if done.returncode:
        sys.stderr.buffer.write((done.stdout or b"") + (done.stderr or b""))
        done.check_returncode()


def run_app(arguments: list[str]) -> int:
    """Start the Streamlit app and keep it until Ctrl-C.

    Where the system can, this process becomes the app, so that whatever ends it ends the app.
    """
    command = ["-m", "cbam_viz", "app", *arguments]
    if os.name == "posix":
        os.chdir(ROOT)
        os.execv(str(PYTHON), [str(PYTHON), *command])
    return call(*command)


def run_tests(arguments: list[str]) -> int:
    """Run pytest on as many processes as there are cores, one thread each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = ["-n", str(os.cpu_count() or 1), "--dist", "loadfile"]
    return call("-m", "pytest", *workers, *arguments, environment=environment)


def floors() -> list[str]:
    """The oldest versions that pyproject.toml allows, and the pinned ones of torch and test tools.

    An older torch would be another build of several gigabytes. What the test suite finds by its
    extras is installed at its floor too.
    """
    import tomllib  # not in Python 3.10, which gets a sentence first

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(one for name in FLOOR_EXTRAS for one in extras[name])]
    # `torchcam>=0.5,<0.6; python_version >= '3.11'`: this file runs on no older Python.
    oldest = [re.split("[,;]", one)[0].replace(">=", "==") for one in asked if ">=" in one]
    pinned = [
        line
        for name in TEST_REQUIREMENTS
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if re.match(r"(torch|torchvision|pytest|pytest-xdist|hypothesis|psutil|pypdf)==", line)
    ]
    return [one for one in oldest if not one.startswith("torch==")] + pinned


def run_floors(arguments: list[str]) -> int:
    """Run the quick tests in an environment of the oldest packages allowed."""
    python = str(FLOORS / PYTHON.relative_to(VENV))
    venv.create(FLOORS, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for more in (floors(), ["--no-deps", "--editable", str(ROOT)]):
        status = subprocess.run([*pip, *more], check=False).returncode
        if status:
            return complain("The oldest packages cannot be installed; the reason is above.")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = ["-n", str(os.cpu_count() or 1), "--dist", "loadfile"]
    skipped = [f"--ignore={path}" for path in FLOOR_SKIPS]
    named = any(not one.startswith("-") for one in arguments)
    tests = [] if named else [*FLOOR_TESTS, *skipped]
    command = [python, "-m", "pytest", *workers, *arguments, *tests]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def run_checks(arguments: list[str]) -> int:
    """Run all four checks, even when one fails; return the first failure."""
    checks = [
        ("-m", "ruff", "check", "."),
        ("-m", "ruff", "format", "--check", "."),
        ("-m", "mypy"),
        ("-c", "from importlinter.cli import lint_imports_command as lint; lint()"),
    ]
    statuses = [call(*check, *arguments) for check in checks]
    return next((status for status in statuses if status), 0)


def call(*arguments: str, environment: dict[str, str] | None = None) -> int:
    """Run .venv's Python in the checkout; return its exit status."""
    return subprocess.run(
        [str(PYTHON), *arguments], cwd=ROOT, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
