"""Whether a network says of its outputs that they are scores of classes.

Numbers alone do not tell: ten of them may be class scores, coordinates or features. What counts is
what the network's author has written down.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Hashable
from typing import Any, cast

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
_OF_OTHERS = re.compile(r"agnostic|box|regress")
"""Such as `class_agnostic_box`, which gives places."""


def says_headless(model: nn.Module) -> str | None:
    """Return how a network of timm's says that it has no classifier; None if it does not."""
    model = unwrap(model)
    if getattr(model, "num_classes", None) == 0:
        return "num_classes is 0"
    return "its classifier is an identity" if _gives_identity(model) else None


def seems_headless(model: nn.Module) -> str | None:
    """Return the part that stands where classifiers are and only passes on; None if none does.

    That does not prove it: the classifier may be elsewhere.
    """
    heads = [(name, part) for name, part in unwrap(model).named_children() if name in _HEADS]
    if heads and all(_passes_on(part) for _, part in heads):
        return f"its {heads[0][0]} only passes on what it gets"
    return None


def _passes_on(part: nn.Module) -> bool:
    """Whether it is an identity, or a sequence of nothing but such parts."""
    if isinstance(part, nn.Sequential):
        return all(_passes_on(inner) for inner in part)
    return isinstance(part, (nn.Identity, nn.Dropout, nn.Flatten))


def _gives_identity(model: Any) -> bool:
    """Whether timm's `get_classifier`, where there is one, gives an identity."""
    try:
        return isinstance(model.get_classifier(), nn.Identity)
    except (AttributeError, TypeError, NotImplementedError):
        return False


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
    if count in (_number(getattr(model, name, None)) for name in _COUNTS):
        return True
    return any(
        count in _counts_of(part) or (_named_after_classes(name) and _outputs(part) == count)
        for name, part in model.named_modules()
    )


def _named_after_classes(name: str) -> bool:
    name = name.lower()
    return _OF_CLASSES.search(name) is not None and _OF_OTHERS.search(name) is None


def _counts_of(part: nn.Module) -> frozenset[int]:
    """Return the numbers of classes that a module says it has; its class's where it says none."""
    held, kind = vars(part), cast("Hashable", type(part))
    labels = _number(getattr(held.get("config"), "num_labels", None))
    said = frozenset({labels, *(_number(held[name]) for name in _COUNTS if name in held)})
    return said if said != {-1} else _counts_of_class(kind)


@functools.lru_cache(maxsize=1024)
def _counts_of_class(kind: Any) -> frozenset[int]:
    """Return the defaults of a class's arguments that count classes, and such attributes of it."""
    try:
        arguments = inspect.signature(kind).parameters
    except (TypeError, ValueError):  # a class in C, or one that hides its signature
        return frozenset()
    defaults = [arguments[name].default for name in _COUNTS if name in arguments]
    attributes = [getattr(kind, name, None) for name in _COUNTS]
    return frozenset(map(_number, (*defaults, *attributes)))


def _number(value: Any) -> int:
    """Return a whole number; -1, which is no count, for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _outputs(part: nn.Module) -> int:
    """Return how many numbers a linear layer or convolution gives; 0 for other parts."""
    count = vars(part).get("out_features", vars(part).get("out_channels", 0))
    return _number(count) if _has_weights(part) else 0


def _has_weights(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None
