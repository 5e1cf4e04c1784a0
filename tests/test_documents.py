"""What the documents and the help show can be typed: commands, options, imports.

Those of the README are run too (`test_readme`), and so are those of docs/yolo.md; here are all.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections import Counter
from itertools import pairwise
from pathlib import Path

import click
import pytest

from cbam_viz.cli.group import COMMANDS, cli

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "checkpoints" / "README.md", *(ROOT / "docs").glob("*.md"))
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in sorted(PAGES)}


def command_of(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None, name
    return found


def shown(text: str) -> list[str]:
    """Lines that begin with the command, in a block of code or the help."""
    joined = text.replace("\\\n", " ")
    lines = re.findall(r"^\s*(?:\$ )?(?:torchrun .*--no-python )?(cbam-viz .*)$", joined, re.M)
    return [line.partition("  #")[0].partition(" > ")[0] for line in lines]


def fenced(text: str, languages: str) -> list[str]:
    """The blocks of code in these languages."""
    return re.findall(rf"^```(?:{languages})\n(.*?)^```$", text, re.M | re.S)


def commands() -> list[str]:
    blocks = [block for text in TEXTS.values() for block in fenced(text, "sh|console")]
    found = [line for block in blocks for line in shown(block)]
    for name in COMMANDS:
        found += shown(command_of(name).epilog or "")
    return sorted(set(found))


@pytest.mark.parametrize("line", commands())
def test_commands_have_options_and_words_that_there_are(line: str) -> None:
    _, name, *arguments = (word for word in shlex.split(line) if word != "...")
    command = command_of(name)
    context = click.Context(command, info_name=name)
    options, _, given = command.make_parser(context).parse_args(arguments)
    assert arguments == [] or given
    for parameter in command.params:
        said = options.get(parameter.name)
        if isinstance(parameter.type, click.Choice) and said is not None:
            for one in said if isinstance(said, list) else [said]:
                parameter.type.convert(one, parameter, context)


def written(text: str) -> list[str]:
    """Files that its commands and its Python write, in order."""
    found = re.findall(r"\.save\(\"([^\"]+)\"\)", text)
    for line in shown(text):
        words = shlex.split(line)
        for option, value in pairwise(words):
            if option in {"-o", "--output", "--export", "--csv"} and "." in value:
                found.append(value)
    return found


@pytest.mark.parametrize("name", [*TEXTS, *COMMANDS])
def test_no_example_meets_a_file_of_the_one_before_it(name: str) -> None:
    """Nothing is overwritten without --force, so that the second one would end in an error."""
    text = TEXTS[name] if name in TEXTS else command_of(name).epilog or ""
    files = Counter(written(text))
    assert [file for file, times in files.items() if times > 1] == []


def blocks() -> list[tuple[str, str]]:
    return [
        (f"{name} {number}", block)
        for name, text in TEXTS.items()
        for number, block in enumerate(fenced(text, "python"))
    ]


@pytest.mark.parametrize("block", [one for _, one in blocks()], ids=[name for name, _ in blocks()])
def test_python_can_be_read_and_what_it_imports_is_there(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cbam_viz"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert getattr(module, alias.name) is not None


def test_no_option_of_the_help_is_told_by_the_name_of_a_type() -> None:
    """`--seed INTEGER RANGE` says nothing; a default in brackets in brackets looks like a slip."""
    for name in COMMANDS:
        text = command_of(name).get_help(click.Context(command_of(name), info_name=name))
        assert not re.search(r"--[\w-]+ (INTEGER|FLOAT|PATH|FILENAME)\b|default: \(", text), name


def test_the_model_card_has_the_files_sizes() -> None:
    folder = ROOT / "checkpoints"
    said = re.findall(r"^\| `([\w.]+)`.*?\| ([\d.]+) MB \|", TEXTS["checkpoints/README.md"], re.M)
    files = folder.glob("*.safetensors")
    assert dict(said) == {file.name: f"{file.stat().st_size / 1e6:.1f}" for file in files}
