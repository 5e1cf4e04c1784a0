"""The set-up: pins that fit together, a start script that old Pythons can read, one version."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.version import Version

import cbam_viz

ROOT = Path(__file__).parents[1]
FILES = ("requirements.txt", "requirements-test.txt", "requirements-third-party.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(name: str) -> dict[str, Version]:
    """Package and version of each line of a requirements file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    for requirement in found:
        assert [clause.operator for clause in requirement.specifier] == ["=="], str(requirement)
    return {r.name: Version(next(iter(r.specifier)).version) for r in found}


@pytest.fixture(scope="module")
def run() -> ModuleType:
    """run.py as a module."""
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_requirement_is_pinned_and_in_one_file_only() -> None:
    names = [name for file in FILES for name in pins(file)]
    assert len(names) == len(set(names))
    assert "opencv-python" not in names  # two distributions of cv2 overwrite each other


SAME_CODE = {"ultralytics": "ultralytics-opencv-headless"}
"""Pinned for tests under another name: of the same version, without a second OpenCV."""


def test_the_pins_lie_in_the_packages_ranges() -> None:
    pinned = pins("requirements.txt") | pins("requirements-test.txt")
    pinned |= pins("requirements-third-party.txt")
    extras = PROJECT["project"]["optional-dependencies"].values()
    ranges = [*PROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)]
    for text in ranges:
        requirement = Requirement(text)
        if requirement.name != "cbam-viz":
            name = SAME_CODE.get(requirement.name, requirement.name)
            assert pinned[name] in requirement.specifier, text


def test_the_app_runs_on_what_is_pinned() -> None:
    wanted = pins("requirements.txt")
    for name, version in wanted.items():
        found = Version(importlib.metadata.version(name))
        assert found.public == version.public, name


def test_everything_that_is_no_code_is_packaged() -> None:
    package = ROOT / "cbam_viz"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["cbam_viz"]
    found = {file for pattern in patterns for file in package.glob(pattern)}
    others = {
        file
        for file in package.rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and file.name[0] != "."
    }
    assert others == {file for file in found if file.is_file()}


def test_one_version_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert PROJECT["project"]["version"] == cbam_viz.__version__
    assert re.search(rf"^version: {re.escape(cbam_viz.__version__)}$", citation, re.MULTILINE)


def test_an_old_python_can_read_the_start_script_to_its_sentence(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ast.parse((ROOT / "run.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(sys, "argv", ["run.py", "app"])
    assert run.main() == 1
    assert capsys.readouterr().err == "cbam-viz needs Python 3.11 or newer, and this is 3.9.1.\n"


def test_packages_are_installed_again_only_when_a_file_has_changed(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*FILES, "pyproject.toml"):
        (tmp_path / name).write_text("six==1\n")
    python = tmp_path / ".venv" / "python"
    python.parent.mkdir()
    python.touch()
    installed: list[tuple[str, ...]] = []
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "PYTHON", python)
    monkeypatch.setattr(run, "pip_install", lambda *args, **_: installed.append(args))

    run.install(with_tests=True)
    first = list(installed)
    assert [arguments[:2] for arguments in first] == [
        ("-r", str(tmp_path / "requirements.txt")),
        ("--no-deps", "-r"),
        ("--no-deps", "--editable"),
    ]
    run.install(with_tests=True)
    run.install(with_tests=False)
    assert installed == first
    (tmp_path / "requirements-test.txt").write_text("six==2\n")
    run.install(with_tests=True)
    assert installed == first * 2


def test_a_failed_installation_is_tried_again(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*FILES, "pyproject.toml"):
        (tmp_path / name).touch()
    python = tmp_path / "python"
    python.touch()
    calls: list[int] = []

    def fail(*_arguments: str, **_options: bool) -> None:
        calls.append(1)
        raise run.subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path)
    monkeypatch.setattr(run, "PYTHON", python)
    monkeypatch.setattr(run, "pip_install", fail)
    monkeypatch.setattr(sys, "argv", ["run.py", "app"])
    assert run.main() == 1
    assert run.main() == 1
    assert len(calls) == 2


def test_checks_all_run_and_the_first_failure_counts(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def call(*arguments: str, **_: object) -> int:
        ran.append(arguments[1])
        return {"mypy": 3}.get(arguments[1], 0)

    monkeypatch.setattr(run, "call", call)
    assert run.run_checks([]) == 3
    assert ran[:3] == ["ruff", "ruff", "mypy"]
    assert len(ran) == 4


def test_the_floors_are_of_every_extra_that_is_tested_and_the_tests_are_there(
    run: ModuleType,
) -> None:
    floors = run.floors()
    names = [one.partition("==")[0] for one in floors]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", one) for one in floors), floors
    assert {"torch", "numpy", "click", "streamlit", "matplotlib", "torchcam", "pyarrow"} <= {*names}
    assert all((run.ROOT / path).exists() for path in (*run.FLOOR_TESTS, *run.FLOOR_SKIPS))
    within = tuple(f"{path}/" for path in run.FLOOR_TESTS)
    assert all(path.startswith(within) for path in run.FLOOR_SKIPS)
