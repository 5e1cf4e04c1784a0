"""Which tensor of a file goes where in a network of the user's own code, or what is against it.

There is no table of such networks. Names and shapes must be the network's own, nothing that the
file has for a part of the network may be left over, and only what the caller names may be missing:
a layer put into an `nn.Sequential` moves the numbers of all later ones, and then old weights can
land, with the right shapes, in the wrong layers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from cbam_viz._text import few, shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.infer import is_counter

Tensors = Mapping[str, Tensor]


def under_own_names(given: Tensors, stripped: Tensors, wanted: Tensors) -> Tensors:
    """Return the file's tensors under the names that fit the network best.

    `given` are as the file names them, `stripped` without the prefixes that wrappers add. A part's
    name that the network has and the file lacks, such as `backbone.`, is put before all names.
    """
    parts = Counter(
        top for top, _, rest in (name.partition(".") for name in wanted) if rest in stripped
    )
    choices = [given, stripped]
    for part, _ in parts.most_common(1):
        choices.append(
            {key if key in wanted else f"{part}.{key}": value for key, value in stripped.items()}
        )
    return max(choices, key=lambda names: len(names.keys() & wanted.keys()))


def check_places(
    module: nn.Module, given: Tensors, wanted: Tensors, may_miss: Collection[str]
) -> None:
    """Refuse tensors that are not the network's, or not all of them.

    Raises:
        CheckpointError: some tensor has another shape, has no place in a part that the network has,
            or is missing and not in `may_miss`; the text says whether numbers are shifted.
    """
    shapes = [
        f"{shortened(key, 40)} ({list(given[key].shape)} instead of {list(wanted[key].shape)})"
        for key in sorted(wanted.keys() & given.keys())
        if wanted[key].shape != given[key].shape
    ]
    left = left_over(module, given, wanted)
    missing = [
        key for key in wanted if key not in given and key not in may_miss and not is_counter(key)
    ]
    if not shapes and not left and not missing:
        return
    hint = _shift(given, wanted)
    if shapes:
        hint = hint or (
            " If the code makes networks of several sizes, ask it for the one that was trained: "
            "--model-arg KEY=VALUE."
        )
        raise CheckpointError(f"The checkpoint is of another network: {few(shapes)}.{hint}")
    if left:
        raise CheckpointError(
            f"The checkpoint is of another network: {len(left)} of its tensors belong to parts of "
            f"the network that have no place for them: {few(left)}.{hint}"
        )
    also = " Only attention may be missing." if may_miss else ""
    raise CheckpointError(
        f"The checkpoint has no values for {len(missing)} of the network's tensors: "
        f"{few(missing)}.{also}{hint} Load the checkpoint that belongs to this code."
    )


def left_over(module: nn.Module, given: Tensors, wanted: Tensors) -> list[str]:
    """Return the names of tensors that lie in parts of the network and have no place there.

    A whole part that the network lacks, such as a loss, is not among them; nor is what belongs
    where the network has `nn.Identity`, a part that was taken off on purpose.
    """
    modules = dict(module.named_modules())
    numbered = any(name.isdecimal() for name, _ in module.named_children())

    def is_inside(name: str) -> bool:
        if "." not in name:
            return False
        if name.partition(".")[0] not in modules:
            return numbered and name.partition(".")[0].isdecimal()
        parent = name.rpartition(".")[0]
        while parent not in modules:
            parent = parent.rpartition(".")[0]
        return not isinstance(modules[parent], nn.Identity)

    return [
        name for name in given if name not in wanted and not is_counter(name) and is_inside(name)
    ]


@dataclass
class _Container:
    """The numbered children of a module: the shapes in each, by number."""

    given: dict[int, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    wanted: dict[int, dict[str, tuple[int, ...]]] = field(default_factory=dict)


def _shift(given: Tensors, wanted: Tensors) -> str:
    """Say which numbers are shifted, if the layers of a container follow each other as before."""
    containers: defaultdict[str, _Container] = defaultdict(_Container)
    for tensors, side in ((given, "given"), (wanted, "wanted")):
        for name, tensor in tensors.items():
            parts = name.split(".")
            for place, part in enumerate(parts[:-1]):
                if part.isdecimal() and len(part) < 6 and not is_counter(name):
                    children = getattr(containers[".".join(parts[:place])], side)
                    inner = children.setdefault(int(part), {})
                    inner[".".join(parts[place + 1 :])] = tuple(tensor.shape)
    for name, container in containers.items():
        moved = _moved(container)
        if moved:
            where = f"in {shortened(name)}" if name else "of the network's layers"
            pairs = few([f"{old} to {new}" for old, new in reversed(moved)])
            return (
                f" The numbers {where} are shifted, as when a layer was put in between: in the "
                f"file's names, change {pairs}."
            )
    return ""


def _moved(container: _Container) -> list[tuple[int, int]]:
    """Return the old and new numbers that differ, if all old layers are there in their order."""
    moved, left = [], iter(sorted(container.wanted))
    for old in sorted(container.given):
        new = next((n for n in left if container.wanted[n] == container.given[old]), None)
        if new is None:
            return []
        moved.append((old, new))
    return [(old, new) for old, new in moved if old != new]
