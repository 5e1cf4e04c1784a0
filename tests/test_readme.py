"""What the README says is true: its commands run, its Python runs, its tables are the code's."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from click.testing import CliRunner

import cbam_viz
from cbam_viz.cli.choice import checkpoints_folder
from cbam_viz.cli.group import COMMANDS, cli
from cbam_viz.images import samples

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def console_blocks() -> list[list[str]]:
    """What a reader would type, block by block."""
    return [
        [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        for block in blocks("console")
    ]


def section(name: str) -> str:
    """What stands between the marks <!-- name --> and <!-- /name -->."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, flags=re.DOTALL)
    assert found, f"README.md has no section {name}"
    return found.group(1).strip()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the README's reader has it: some photos of their own."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for sample in samples()[:2]:
        shutil.copy(sample.path, photos / sample.path.name)
    shutil.copy(samples()[0].path, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_shows_every_command_and_the_table_lists_all() -> None:
    listed = set(re.findall(r"^\| `cbam-viz (\w+)", README, flags=re.MULTILINE))
    assert listed == set(COMMANDS)


@pytest.mark.parametrize("commands", console_blocks(), ids=" && ".join)
def test_commands_run(reader: Path, commands: list[str]) -> None:
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "cbam-viz"
        ended = CliRunner().invoke(cli, arguments)
        assert ended.exit_code == 0, ended.output
        assert ended.stdout.strip()
        if "--output" in arguments:
            assert (reader / arguments[arguments.index("--output") + 1]).exists()
    if "--from" in " ".join(commands):
        assert (reader / "again.pdf").read_bytes() == (reader / "grid.pdf").read_bytes()


def test_every_command_that_computes_is_in_a_tested_example() -> None:
    shown = {shlex.split(command)[1] for block in console_blocks() for command in block}
    not_here = {"app", "completion", "convert"}  # tests/cli runs these
    assert shown | not_here == set(COMMANDS)


def test_the_python_runs(reader: Path) -> None:
    images = torch.rand(2, 3, 64, 64)
    space: dict[str, Any] = {
        "images": images,
        "loader": [(images, torch.zeros(2))],
        "timm": timm,
    }
    shutil.copy(demo_checkpoint(), reader / "my_network.safetensors")
    for block in blocks("python"):
        # No test needs the network.
        exec(block.replace("pretrained=True", "pretrained=False"), space)
    assert space["layer"].channel.shape == (2, 512)
    assert torch.equal(space["gates"].output, space["logits"])
    assert space["figure"].axes


def demo_checkpoint() -> Path:
    """The project's default checkpoint."""
    entry = cbam_viz.default_checkpoint(checkpoints_folder())
    assert entry is not None
    return entry.path


def test_names_in_the_text_exist() -> None:
    names = set(re.findall(r"cbam_viz\.(\w+)", README)) - {"models", "figures"}
    assert names <= set(cbam_viz.__all__), names - set(cbam_viz.__all__)


def test_the_messages_are_the_codes() -> None:
    table = README.partition("| message | what to do |")[2].partition("\n\n")[0]
    messages = re.findall(r"^\| \*(.+?)\* \|", table, flags=re.MULTILINE)
    source = " ".join(
        # Adjacent string literals are joined, as Python joins them.
        re.sub(r'"\s*\n\s*f?"', "", file.read_text(encoding="utf-8"))
        for file in (ROOT / "cbam_viz").rglob("*.py")
    )
    assert len(messages) >= 8
    for message in messages:
        assert message in source, message


def families_table() -> str:
    """The table of families as the README should have it."""
    from cbam_viz.models import cbam_families

    rows = [
        f"| {family.title} | `{family.example}` | {family.layers} |" for family in cbam_families()
    ]
    return "\n".join(
        ["| networks | for instance | CBAM layers in it |", "| --- | --- | ---: |", *rows]
    )


def test_the_families_are_the_codes() -> None:
    assert section("families") == families_table(), "replace the README's table by this one"


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    targets += re.findall(r'src="([^"]+)"', README)
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert targets
    assert not missing
