"""`module:factory`: the user's own network from the user's own Python code.

For the command line only. It runs code, so nothing that comes from an upload may reach it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from cbam_viz.errors import CheckpointError, ModelError
from cbam_viz.images import InputSpec
from cbam_viz.models.files import read_weights
from cbam_viz.models.fit import fit_tensors
from cbam_viz.models.loaded import LoadedModel, LoadReport, few, wrap_model
from cbam_viz.models.state import find_weights


def load_factory(
    reference: str,
    *,
    checkpoint: Path | None = None,
    spec: InputSpec | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> LoadedModel:
    """Build a network by calling the user's function or class, and load its weights.

    Parameters
    ----------
    reference
        `package.module:factory` or `path/to/file.py:factory`. The factory is called with
        `arguments` and returns a `torch.nn.Module`; a module that is there already is taken too.
    checkpoint
        Weights with the network's own names, wrappers and common prefixes apart; read safely.
    spec
        What input the network expects; ImageNet's usual if neither this nor `pretrained_cfg` is
        given.
    arguments
        Keyword arguments of the factory.

    Raises
    ------
    ModelError
        The code cannot be imported, fails, or returns no network.
    CheckpointError
        The weights cannot be read or do not fit.
    """
    location, separator, attribute = reference.rpartition(":")
    if not separator or not location or not attribute:
        raise ModelError(
            f"{reference!r} names no factory. Write module:function, such as my_nets:build, or "
            "path/to/file.py:build."
        )
    model = _build(_import(location), location, attribute, arguments or {})
    report, sha256 = (None, None) if checkpoint is None else _load(model, checkpoint)
    wrapped = wrap_model(model.eval(), spec, name=attribute)
    return LoadedModel(
        model=wrapped.model,
        name=wrapped.name,
        spec=wrapped.spec,
        classes=wrapped.classes,
        report=report,
        sha256=sha256,
    )


def _import(location: str) -> ModuleType:
    path = Path(location)
    try:
        if path.suffix == ".py":
            return _import_file(path)
        if "" not in sys.path:  # as `python -m` would find it: in the working folder
            sys.path.insert(0, "")
        return importlib.import_module(location)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{location} cannot be imported: {type(error).__name__}: {error}. Run the command from "
            "the folder where Python finds it, or give the path of the .py file."
        ) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"There is no file {path}.")
    name = f"_cbam_viz_user_{path.stem}"
    description = importlib.util.spec_from_file_location(name, path)
    if description is None or description.loader is None:
        raise ModelError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(description)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    sys.path.insert(0, str(path.resolve().parent))  # its neighbours
    try:
        description.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _build(
    module: ModuleType, location: str, attribute: str, arguments: Mapping[str, Any]
) -> nn.Module:
    factory = getattr(module, attribute, None)
    if factory is None:
        known = [name for name, value in vars(module).items() if callable(value)]
        names = few([name for name in known if not name.startswith("_")], 8) or "nothing"
        raise ModelError(f"{location} has no {attribute!r}. Callable there: {names}.")
    try:
        model = factory if isinstance(factory, nn.Module) else factory(**arguments)
    except Exception as error:
        raise ModelError(
            f"{location}:{attribute} failed: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{location}:{attribute} returned a {type(model).__name__}, no torch.nn.Module."
        )
    return model


def _load(model: nn.Module, checkpoint: Path) -> tuple[LoadReport, str]:
    file = read_weights(checkpoint)
    # Names of their own first: such a network may well have a part called `backbone`.
    tries = [find_weights(file.content, prefixes=prefixes) for prefixes in (False, True)]
    fits = [fit_tensors(model, weights) for weights in tries]
    best = max((0, 1), key=lambda index: len(fits[index].matched))
    weights, fit = tries[best], fits[best]
    absent = (*fit.missing, *fit.missing_attention)
    if absent or fit.wrong:
        raise CheckpointError(
            f"The checkpoint does not fit the network: {len(absent)} tensors are missing"
            + (f" ({few(absent)})" if absent else "")
            + (f", {len(fit.wrong)} have another shape ({few(fit.wrong)})." if fit.wrong else ".")
        )
    model.load_state_dict(fit.tensors, strict=False)
    report = LoadReport(
        matched=fit.matched,
        unexpected=fit.unexpected,
        reshaped=fit.reshaped,
        notes=(*weights.notes, *fit.notes),
    )
    return report, file.sha256
