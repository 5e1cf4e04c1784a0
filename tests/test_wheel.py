"""What comes with a wheel is all that the app needs."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement

from cbam_viz.ui.entries import ENTRIES
from tests import wheel

ROOT = Path(__file__).parents[1]
HELPERS = ROOT / "tests" / "ui" / "streamlits.py"
OPEN_EVERY_PAGE = """
import json
from pathlib import Path

import cbam_viz
from cbam_viz.cli.app import app_script
from cbam_viz.ui.entries import ENTRIES
from cbam_viz.ui.server import SCRIPT

app = AppTest.from_file(str(SCRIPT), default_timeout=120).run()
found = {"package": cbam_viz.__file__, "script": str(app_script()), "pages": {}}
for entry in ENTRIES:
    go_to(app, entry.address)
    errors = [*(one.value for one in app.exception), *(one.value for one in app.error)]
    notes = memory(app).scene.loaded.metadata.get("title")
    found["pages"][entry.address] = {"errors": errors, "network": notes, "parts": len(app.main)}
settings_beside(app_script())
found["colour"] = config.get_option("theme.light.primaryColor")
found["upload"] = config.get_option("server.maxUploadSize")
print(json.dumps(found))
"""
"""Behind the text of `HELPERS`, which is not in the wheel."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel.build(tmp_path_factory.mktemp("wheel"))


def test_settings_and_networks_of_the_checkout_are_in_it(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
        settings = archive.read("cbam_viz/ui/packaged/.streamlit/config.toml")
        networks = {
            name.rpartition("/")[2]: archive.getinfo(name).file_size
            for name in names
            if name.startswith("cbam_viz/checkpoints/")
        }
    for room, most in (("runs", 300_000), ("dataset", 3_000_000)):
        samples = (ROOT / "cbam_viz" / room / "samples").rglob("*")
        files = [file for file in samples if file.is_file()]
        assert {file.relative_to(ROOT).as_posix() for file in files} <= set(names)
        assert sum(file.stat().st_size for file in files) < most
    assert settings == (ROOT / ".streamlit" / "config.toml").read_bytes()
    assert networks == {f.name: f.stat().st_size for f in (ROOT / "checkpoints").iterdir()}


def test_outside_the_checkout_every_page_opens_with_theme_and_network(
    built: Path, tmp_path: Path
) -> None:
    scripts = wheel.install(built, tmp_path / "environment")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ended = subprocess.run(
        [scripts / "python", "-c", HELPERS.read_text("utf-8") + OPEN_EVERY_PAGE],
        cwd=elsewhere,
        env=wheel.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert Path(found["package"]).is_relative_to(tmp_path)
    assert Path(found["script"]).is_relative_to(tmp_path)
    with (ROOT / ".streamlit" / "config.toml").open("rb") as file:
        settings = tomllib.load(file)
    assert found["colour"] == settings["theme"]["light"]["primaryColor"]
    assert found["upload"] == settings["server"]["maxUploadSize"]
    assert list(found["pages"]) == [entry.address for entry in ENTRIES]
    for address, page in found["pages"].items():
        assert page["errors"] == [], address
        assert page["network"], address  # a network that says what it is, and no untrained one
        assert page["parts"], address
    listed = subprocess.run(
        [scripts / "cbam-viz", "checkpoints"],
        cwd=elsewhere,
        env=wheel.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    for file in (ROOT / "checkpoints").glob("*.safetensors"):
        assert file.stem in listed.stdout


def test_the_extra_of_the_app_brings_what_all_its_pages_import() -> None:
    """Figures are drawn with matplotlib; the app's extra takes the figures' extra in."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    taken = [Requirement(text) for text in extras["app"]]
    assert any(one.name == "cbam-viz" and "figures" in one.extras for one in taken)
    assert {"matplotlib", "tueplots", "pypdfium2"} == {
        Requirement(t).name for t in extras["figures"]
    }
