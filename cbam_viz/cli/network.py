"""From what the command line says of a network to the network."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbam_viz._text import few
from cbam_viz.cli.choice import ModelChoice, checkpoints_folder
from cbam_viz.errors import CheckpointError

if TYPE_CHECKING:
    from cbam_viz.images import View
    from cbam_viz.models import LoadedModel


def open_network(
    choice: ModelChoice, *, view: View | None = None, quiet: bool = False
) -> LoadedModel:
    """Build the network and load its weights; where they come from goes to standard error.

    With a `view`, also what the network is fed in it.

    Raises:
        click.UsageError: options that contradict each other.
        CbamVizError: the network cannot be built, or the checkpoint does not fit it.
    """
    loaded = _own_network(choice) if choice.factory is not None else _known_network(choice)
    if not quiet:
        click.echo(_origin(loaded, own=choice.factory is not None), err=True)
    loaded = _as_asked(loaded, choice)
    if choice.factory is not None:
        from cbam_viz.models.lazy import make_weights

        make_weights(loaded)
    if not quiet and view is not None:
        click.echo(loaded.fed(view, hint=True), err=True)
    return loaded


def _as_asked(loaded: LoadedModel, choice: ModelChoice) -> LoadedModel:
    """The network with the input and the class names that the command line states."""
    if choice.input is not None:
        from cbam_viz.images import changed

        if loaded.transform is not None:
            raise click.UsageError(
                f"{loaded.name} brings its own transform, which decides its input: leave the "
                "options of the input out, or return the network alone."
            )
        loaded = replace(loaded, spec=changed(loaded.spec, choice.input))
    return loaded if choice.classes is None else replace(loaded, classes=choice.classes)


def find_checkpoint(choice: ModelChoice) -> Path | None:
    """Return the file that is meant; None for an architecture with random weights.

    Raises:
        CheckpointError: there is no such file and no checkpoint of that name, or no default one.
    """
    from cbam_viz._suffixes import bare_name, is_checkpoint_name
    from cbam_viz.models import default_checkpoint, list_checkpoints

    folder = checkpoints_folder()
    if choice.checkpoint is None:
        if choice.architecture is not None:
            return None
        entry = default_checkpoint(folder)
        if entry is None:
            raise CheckpointError(
                f"There is no demo checkpoint in {folder}. Give --checkpoint FILE, or "
                "--architecture NAME for a network with random weights."
            )
        return entry.path
    named = Path(choice.checkpoint)
    if named.is_file():
        return named
    entries = list_checkpoints(folder)
    for entry in entries:
        if choice.checkpoint in (entry.path.name, bare_name(entry.path), entry.title):
            return entry.path
    if named.exists():
        return named  # a folder or a pipe: whoever reads it says what it is
    beside = named.parent if named.parent.is_dir() else Path()
    files = [path.name for path in beside.iterdir() if is_checkpoint_name(path.name)]
    near = difflib.get_close_matches(named.name, files, n=3, cutoff=0.6)
    hint = f" Did you mean {few([str(beside / name) for name in near])}?" if near else ""
    names = few([bare_name(entry.path) for entry in entries], shown=20) or "none"
    raise CheckpointError(
        f"There is no file {choice.checkpoint}, and no checkpoint of that name in {folder} "
        f"(there: {names}).{hint}"
    )


def _known_network(choice: ModelChoice) -> LoadedModel:
    """One that timm defines."""
    from cbam_viz.models import load_model

    return load_model(
        find_checkpoint(choice),
        architecture=choice.architecture,
        attention=choice.attention,
        num_classes=choice.num_classes,
        allow_missing_attention=choice.allow_missing_attention,
    )


def _own_network(choice: ModelChoice) -> LoadedModel:
    assert choice.factory is not None
    for option, value in (
        ("--architecture", choice.architecture),
        ("--attention", choice.attention),
        ("--num-classes", choice.num_classes),
    ):
        if value is not None:
            raise click.UsageError(f"{option} does not go with --model: your code decides it.")
    from cbam_viz.models.code import OwnCode, open_code

    path = None if choice.checkpoint is None else find_checkpoint(choice)
    code = OwnCode(choice.factory, choice.arguments, None if path is None else str(path))
    if not choice.allow_missing_attention:
        return open_code(code)
    from cbam_viz.gates import attention_tensors

    return open_code(code, may_miss=attention_tensors)


def _origin(loaded: LoadedModel, *, own: bool) -> str:
    if loaded.report is not None:
        return f"{loaded.name}: {loaded.report.text}"
    if own:
        made = (
            "no checkpoint was given, so the weights are those that its code made or loaded. What "
        )
        return f"{loaded.name}: {made}it drew from torch's random numbers is the same at every run."
    return f"{loaded.name}: no checkpoint, so the weights are random, the same at every run."
