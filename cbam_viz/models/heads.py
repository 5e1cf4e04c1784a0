"""Whether a network says of its outputs that they are scores of classes.

Numbers alone do not tell: ten of them may be class scores, coordinates or features. What counts is
what the network's author has written down.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from cbam_viz.wrappers import unwrap

_COUNTS = (
    "num_classes",
    "n_classes",
    "nb_classes",
    "num_class",
    "n_class",
    "nclasses",
    "nclass",
    "num_labels",
    "n_labels",
    "nc",
)
"""What an attribute or argument is called that says how many classes there are."""
_HEADS = ("fc", "classifier", "head", "heads", "last_linear")
"""Where a network's last layer usually is; somebody who wants features puts an identity there."""
_OF_CLASSES = re.compile(r"(^|[._])(cls|class|classes|logits?)([._\d]|$)|classif")
"""Dotted names of layers that are named after classes."""


def says_headless(model: nn.Module) -> str | None:
    """Return how the network says that its classifier was taken off; None if it does not."""
    model = unwrap(model)
    if _number(vars(model).get("num_classes")) == 0:
        return "num_classes is 0"
    heads = {name: part for name in _HEADS if (part := model._modules.get(name)) is not None}
    left = [name for name, part in heads.items() if _passes_on(part)]
    if left and all(name in left for name in heads):
        return f"its {left[0]} only passes on what it gets"
    if isinstance(_timm_classifier(model), nn.Identity):
        return "its classifier is an identity"
    return None


def _passes_on(part: nn.Module) -> bool:
    """Whether it is an identity, or a sequence of nothing but such parts."""
    if isinstance(part, nn.Sequential):
        return all(_passes_on(inner) for inner in part)
    return isinstance(part, (nn.Identity, nn.Dropout, nn.Flatten))


def _timm_classifier(model: Any) -> Any:
    """Return what timm's `get_classifier` gives; None for networks without it."""
    try:
        return model.get_classifier()
    except (AttributeError, TypeError, NotImplementedError):
        return None


def says_other_task(model: nn.Module) -> str | None:
    """Return the task of a Hugging Face network whose logits exclude no other; None if none."""
    task = getattr(vars(unwrap(model)).get("config"), "problem_type", None)
    return task if task in ("regression", "multi_label_classification") else None


def says_classes(model: nn.Module, count: int) -> bool:
    """Whether the network, or a part of it, says that it has `count` classes.

    By an attribute such as `num_classes`, as timm's networks have it; by the default of such an
    argument where it is built, as in torchvision's; or by a last layer of `count` outputs that is
    named after classes (`classifier`, `cls_head`). A linear layer that is called `fc` or `head`
    says nothing: regressions and embeddings end in one too.
    """
    model = unwrap(model)
    return any(count in _counts_of(part) for part in model.modules()) or any(
        _outputs(part) == count and _OF_CLASSES.search(name.lower())
        for name, part in model.named_modules()
    )


def _counts_of(part: nn.Module) -> Iterator[int]:
    held = vars(part)
    yield from (_number(held[name]) for name in _COUNTS if name in held)
    if "config" in held:
        yield _number(getattr(held["config"], "num_labels", None))
    if any(name in held for name in _COUNTS) or type(part).__module__.startswith("torch.nn."):
        return
    try:
        arguments = inspect.signature(type(part).__init__).parameters
    except (TypeError, ValueError):  # a class in C, or one that hides its signature
        return
    yield from (_number(arguments[name].default) for name in _COUNTS if name in arguments)


def _number(value: Any) -> int:
    """Return a whole number; -1, which is no count, for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _outputs(part: nn.Module) -> int:
    """Return how many numbers a linear layer or convolution gives; 0 for other parts."""
    count = vars(part).get("out_features", vars(part).get("out_channels", 0))
    return _number(count) if _has_weights(part) else 0


def _has_weights(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None
