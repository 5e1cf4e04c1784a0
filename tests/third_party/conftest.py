"""Other people's packages, imported without letting them change the process for the other tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_viz._compat import ensure_torchvision
from cbam_viz.images import read_photo, samples

ensure_torchvision()  # these packages import torchvision themselves


@pytest.fixture(scope="session")
def photo() -> Tensor:
    """A real photo, (1, 3, 192, 256) in [0, 1]; sides that are multiples of 32 and unequal."""
    pixels = read_photo(samples()[0].path).pixels
    pixels = cv2.resize(pixels, (256, 192), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


def copied(value: Any) -> Any:
    """All tensors of an output as they are now."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return tuple(copied(item) for item in value) if isinstance(value, (list, tuple)) else value


Watcher = Callable[[nn.Module, Callable[[str, nn.Module], bool]], list[tuple[str, Any]]]


@pytest.fixture
def outputs_of() -> Iterator[Watcher]:
    """Watch the outputs of chosen modules by hooks, knowing the package's source: the truth.

    `seen = outputs_of(model, lambda name, module: ...)` fills `seen` with (name, output) in order
    of execution.
    """
    handles = []

    def watch(model: nn.Module, chosen: Callable[[str, nn.Module], bool]) -> list[tuple[str, Any]]:
        seen: list[tuple[str, Any]] = []

        def note(name: str) -> Callable[..., None]:
            return lambda module, args, output: seen.append((name, copied(output)))

        for name, module in model.named_modules():
            if chosen(name, module):
                handles.append(module.register_forward_hook(note(name)))
        return seen

    yield watch
    for handle in handles:
        handle.remove()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.third_party)
