"""From what the command line says of a network to the network."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from cbam_viz._text import few
from cbam_viz.cli.choice import ModelChoice, checkpoints_folder
from cbam_viz.cli.own_code import ended_the_program
from cbam_viz.errors import CheckpointError, ModelError

if TYPE_CHECKING:
    from torch import nn

    from cbam_viz.models import LoadedModel


def open_network(choice: ModelChoice, *, quiet: bool = False) -> LoadedModel:
    """Build the network and load its weights; the load report goes to standard error.

    Raises
    ------
    click.UsageError
        Options that contradict each other.
    CbamVizError
        The network cannot be built, or the checkpoint does not fit it.
    """
    loaded = _own_network(choice) if choice.factory is not None else _known_network(choice)
    if not quiet:
        click.echo(_origin(loaded), err=True)
    return loaded


def find_checkpoint(choice: ModelChoice) -> Path | None:
    """Return the file that is meant; None for an architecture with random weights.

    Raises
    ------
    CheckpointError
        There is no such file and no checkpoint of that name, or no default one.
    """
    from cbam_viz._suffixes import bare_name
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
    names = few([bare_name(entry.path) for entry in entries], shown=20) or "none"
    raise CheckpointError(
        f"There is no file {choice.checkpoint}, and no checkpoint of that name in {folder} "
        f"(there: {names})."
    )


def call_factory(text: str) -> nn.Module:
    """Import MODULE:FACTORY or FILE.py:FACTORY, call it and return the network it makes.

    Raises
    ------
    click.UsageError
        The text has not that form.
    ModelError
        The module, the factory or what it returns is not what it should be.
    """
    module_name, _, attribute = text.rpartition(":")
    if not module_name or not attribute.isidentifier():
        raise click.UsageError(
            f"--model takes MODULE:FACTORY, such as my_project.networks:make, not {text!r}."
        )
    factory = getattr(_import(module_name), attribute, None)
    if not callable(factory):
        raise ModelError(f"{module_name} has no function {attribute}.")
    from torch import nn

    try:
        network = factory()
    except SystemExit as stop:
        raise ModelError(ended_the_program(text, stop, "when it was called")) from stop
    except Exception as error:
        raise ModelError(
            f"{text}() raised {type(error).__name__}: {error}. It is called without arguments."
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"{text}() returned {type(network).__name__}; it should return a torch.nn.Module."
        )
    return network


def _import(name: str) -> ModuleType:
    """Import a module by name, from the current folder too, or a .py file.

    The folder stays on the import path: the user's code may import more when it runs.
    """
    file = Path(name)
    is_file = file.suffix == ".py"
    sys.path.insert(0, str(file.resolve().parent if is_file else Path.cwd()))
    try:
        return _import_file(file) if is_file else importlib.import_module(name)
    except SystemExit as stop:
        raise ModelError(ended_the_program(name, stop, "while it was imported")) from stop
    except Exception as error:
        raise ModelError(f"{name} cannot be imported ({type(error).__name__}: {error}).") from error


def _import_file(file: Path) -> ModuleType:
    """Import a file under a name that no other module can have."""
    spec = importlib.util.spec_from_file_location(f"_cbam_viz_user_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _known_network(choice: ModelChoice) -> LoadedModel:
    """One that timm defines."""
    import torch

    from cbam_viz.models import load_model

    checkpoint = find_checkpoint(choice)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # without a checkpoint the same random weights at every run
        return load_model(
            checkpoint,
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
    import torch

    from cbam_viz.models import wrap_model
    from cbam_viz.models.own import load_own_model

    with torch.random.fork_rng():
        torch.manual_seed(0)  # what the code draws from torch is the same at every run
        network = call_factory(choice.factory)
    name = choice.factory.rpartition(":")[2]
    if choice.checkpoint is None:
        return wrap_model(network.eval(), name=name)
    may_miss: Collection[str] = ()
    if choice.allow_missing_attention:
        from cbam_viz.capture import attention_tensors

        may_miss = attention_tensors(network.eval())
    return load_own_model(network, find_checkpoint(choice) or "", may_miss=may_miss, name=name)


def _origin(loaded: LoadedModel) -> str:
    if loaded.report is not None:
        return f"{loaded.name}: {loaded.report.text}"
    return (
        f"{loaded.name}: no checkpoint, the weights are what the code made them. What it drew "
        "from torch's random numbers is the same at every run."
    )
