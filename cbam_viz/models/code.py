"""A network that somebody's own Python code makes: `FILE.py:FACTORY` or `package.module:factory`.

Only who starts the program can name code to be run; no file, link or manifest can.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from cbam_viz._foreign import ASKS_FOR_KEYS, Surroundings, exit_call, kept_apart, place_of
from cbam_viz._text import few, named, shortened
from cbam_viz.errors import ModelError
from cbam_viz.models.loaded import LoadedModel, set_to_eval, to_get_a_network, wrap_model
from cbam_viz.models.own import load_own_model
from cbam_viz.models.seeded import SEED, seeded

_PREFIX = "_cbam_viz_user_"
_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class OwnCode:
    """Code that makes a network, and the weights to load into it."""

    factory: str
    """`FILE.py:FACTORY` or `package.module:factory`: a function, a class or a network."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Keyword arguments of the factory, values as text: `("depth", "50")`."""
    checkpoint: str | None = None
    """Path of a file of weights."""


def open_code(
    code: OwnCode, *, may_miss: Callable[[nn.Module], Collection[str]] = lambda _: ()
) -> LoadedModel:
    """Make the network, the same at every run of the same code, and load its weights.

    The factory returns a `torch.nn.Module`, a pair of one and the transform that makes its input of
    a Pillow image, or a `LoadedModel`. `may_miss` says of the network which tensors the file of
    weights need not have.

    Raises:
        ModelError: the code cannot be imported or called, or returns something else.
        CheckpointError: the weights do not fit.
    """
    made, surroundings = _made(code.factory, code.arguments)
    name = code.factory.rpartition(":")[2]
    loaded = made if isinstance(made, LoadedModel) else _described(made, name)
    loaded = replace(loaded, surroundings=surroundings)
    set_to_eval(loaded.model)
    if code.checkpoint is None:
        return loaded
    network = loaded.model
    filled = load_own_model(network, code.checkpoint, may_miss=may_miss(network), name=loaded.name)
    if isinstance(made, LoadedModel):  # what the code says of its input and classes goes first
        classes = loaded.classes or filled.classes
        return replace(loaded, classes=classes, report=filled.report, sha256=filled.sha256)
    return replace(filled, transform=loaded.transform, surroundings=surroundings)


def _described(made: Any, name: str) -> LoadedModel:
    """Describe a network, or a network and its transform."""
    if isinstance(made, nn.Module):
        return wrap_model(made, name=name)
    network, transform = made
    return wrap_model(network, name=name, transform=transform)


def call_factory(text: str, arguments: Sequence[tuple[str, str]] = ()) -> Any:
    """Import `MODULE:FACTORY`, call it and return what it makes; a network is returned itself.

    What the module draws from torch's random numbers, and what the factory draws, is the same at
    every run: both begin at the same seed. What they set for the whole process (torch's default
    type and device, the working folder) is as before afterwards.

    Raises:
        ModelError: the text has not that form, or the module, the factory or what it returns is not
            what it should be.
    """
    return _made(text, arguments)[0]


def _made(text: str, arguments: Sequence[tuple[str, str]]) -> tuple[Any, Surroundings]:
    """What a factory makes, and in which surroundings, so that its forward can have them again."""
    module_name, _, attribute = text.rpartition(":")
    if not module_name or not all(part.isidentifier() for part in attribute.split(".")):
        raise ModelError(
            f"--model takes MODULE:FACTORY, such as my_project.networks:make, not {text!r}."
        )
    with seeded(), kept_apart():
        factory = _attribute(_import(module_name), attribute, module_name)
        made = _called(text, factory, {key: _value(value) for key, value in arguments})
        surroundings = Surroundings.now()
    pair = isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module)
    if not isinstance(made, (nn.Module, LoadedModel)) and not (pair and callable(made[1])):
        raise ModelError(
            f"{text}() returned {_kind(made)}; it should return a torch.nn.Module, a pair of one "
            f"and its transform, or what cbam_viz.wrap_model returns.{to_get_a_network(made)}"
        )
    return made, surroundings


def _called(text: str, factory: Any, keywords: Mapping[str, Any]) -> Any:
    """What a factory makes, or a network that is one already."""
    if isinstance(factory, nn.Module):
        if keywords:
            raise ModelError(f"{text} is a network already; it takes no --model-arg.")
        return factory
    if not callable(factory):
        raise ModelError(f"{text} is no function, class or network.")
    takes = _check_arguments(text, factory, keywords)
    torch.manual_seed(SEED)  # whether the module had been imported before or not
    try:
        return factory(**keywords)
    except KeyboardInterrupt:
        raise
    except SystemExit as stop:
        raise ModelError(ended_the_program(text, stop, "when it was called")) from stop
    except BaseException as error:  # of any class, as this is the user's own code
        given = ", ".join(f"{key}={shortened(repr(value))}" for key, value in keywords.items())
        called = f" It was called {f'with {given}' if given else 'without arguments'}"
        others = f"{called}; give it others by --model-arg KEY=VALUE." if takes else ""
        raise ModelError(
            f"{text}() raised {named(error)}.{place_of(error)}{_remedy(error) or others}"
        ) from error


def _remedy(error: BaseException) -> str:
    """What to do about an error that is of where the code runs; empty for all others."""
    if isinstance(error, EOFError):
        return ASKS_FOR_KEYS
    if isinstance(error, ModuleNotFoundError):
        return (
            f" Install it for the Python that runs cbam-viz ({sys.executable} -m pip install ...), "
            "or start cbam-viz in the folder that it is imported from."
        )
    file = error.filename if isinstance(error, FileNotFoundError) else None
    if isinstance(file, (str, bytes)) and not os.path.isabs(file):  # noqa: PTH117  bytes too
        return f" Such a path is looked for in the folder that you are in, {Path.cwd()}."
    return ""


def ended_the_program(name: str, stop: SystemExit, when: str) -> str:
    """Return a sentence on code that called `sys.exit` or `os._exit`."""
    return (
        f"{name} ended the program ({exit_call(stop)}) {when}.{place_of(stop)} Code that makes a "
        "network must not do that: put what runs as a script under if __name__ == '__main__'."
    )


def _kind(made: Any) -> str:
    if made is None:
        return "None"
    inside = f" of {', '.join(type(part).__name__ for part in made)}" if type(made) is tuple else ""
    return type(made).__name__ + inside


def _attribute(module: ModuleType, attribute: str, module_name: str) -> Any:
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError:
        names = [name for name in vars(module) if not name.startswith("_")]
        near = difflib.get_close_matches(attribute, names, n=3, cutoff=0.5)
        there = few(_own(module), shown=8) or "none"
        hint = f" Did you mean {few(near)}?" if near else f" In it are {there}."
        raise ModelError(f"{module_name} has no function {attribute}.{hint}") from None


def _own(module: ModuleType) -> list[str]:
    """Names of what a module defines itself and could be meant."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, nn.Module) or getattr(value, "__module__", "") == module.__name__)
    ]


def _check_arguments(text: str, factory: Callable[..., Any], keywords: Mapping[str, Any]) -> bool:
    """Return whether a factory takes arguments; say in our words which, where these are wrong."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(**keywords)
    except TypeError as error:
        takes = few([str(one) for one in signature.parameters.values()], shown=12) or "none"
        raise ModelError(
            f"{text} cannot be called so ({error}). It takes the arguments {takes}; give them by "
            "--model-arg KEY=VALUE."
        ) from None
    return bool(signature.parameters)


def _value(text: str) -> Any:
    """`50`, `0.5`, `true`, `none`, `[1, 2]` as such; anything else is text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _import(name: str) -> ModuleType:
    """Import a module by name, from the current folder too, or a .py file.

    The folder stays on the import path: the user's code may import more when it runs. What a module
    sets for the process when it is imported, it sets again for whoever asks for it later.
    """
    file = Path(name)
    is_file = file.suffix == ".py"
    if is_file and not file.is_file():
        raise ModelError(f"{name} cannot be imported: there is no such file. Check its path.")
    folder = str(file.resolve().parent if is_file else Path.cwd())
    _go_first(folder)
    try:
        module = _import_file(file) if is_file else importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except SystemExit as stop:
        raise ModelError(ended_the_program(name, stop, "while it was imported")) from stop
    except BaseException as error:
        raise ModelError(
            f"{name} cannot be imported ({named(error)}).{place_of(error)}{_remedy(error)}"
        ) from error
    _after_import.setdefault(module.__name__, Surroundings.now()).take_effect()
    return module


_after_import: dict[str, Surroundings] = {}
"""In which surroundings a module has left the process."""
_folders: set[str] = set()
"""From which code has been imported."""


def _go_first(folder: str) -> None:
    """Let a folder's own modules be found, not those of the same name beside another network."""
    sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
    others = tuple(other + os.sep for other in _folders - {folder})
    _folders.add(folder)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        top = Path(folder, name.partition(".")[0])
        if (
            file
            and others
            and file.startswith(others)
            and not file.startswith(folder + os.sep)
            and not name.startswith(_PREFIX)
            and (top.is_dir() or top.with_suffix(".py").is_file())
        ):
            del sys.modules[name]
    importlib.invalidate_caches()


def _import_file(file: Path) -> ModuleType:
    """Import a file, once, under a name that no other module can have."""
    mark = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    name = f"{_PREFIX}{file.stem}_{mark}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    return module
