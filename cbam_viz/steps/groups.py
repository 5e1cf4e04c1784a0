"""From single operations to stages: what happens side by side to the mean and the maximum is one.

A shared MLP runs twice, first all of it on the mean and then all of it on the maximum. A walk shows
its first layer once, with both results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cbam_viz.computation import GateComputation, Operand, Operation
from cbam_viz.steps.arrange import Arranged, Sizes, arranged

Family = Literal[
    "pool places", "pool channels", "dense", "convolution", "norm", "activation", "squash",
    "sum", "product", "scale", "concat", "other",
]  # fmt: skip

AVERAGING = frozenset("mean avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool2d".split())  # noqa: SIM905
MAXIMISING = frozenset("amax max max_pool2d_with_indices adaptive_max_pool2d".split())  # noqa: SIM905
POOLINGS = {"mean": AVERAGING, "max": MAXIMISING}

NORMALISING = frozenset(
    "native_batch_norm cudnn_batch_norm miopen_batch_norm "  # noqa: SIM905
    "_native_batch_norm_legit _native_batch_norm_legit_no_training".split()
)
ACTIVATIONS = {
    "relu": "ReLU", "silu": "SiLU", "gelu": "GELU", "hardswish": "Hardswish", "elu": "ELU",
    "leaky_relu": "LeakyReLU", "mish": "Mish", "softplus": "Softplus", "_prelu_kernel": "PReLU",
    "hardtanh": "ReLU6", "clamp_min": "ReLU",
}  # fmt: skip
BOUNDS = {"clamp_min": (0,), "hardtanh": (0, 6)}
"""What some operations are given where they are these activations."""
SQUASHES = {
    "sigmoid": ("sigmoid", "σ"), "hardsigmoid": ("hard sigmoid", "hσ"), "tanh": ("tanh", "tanh"),
    "_softmax": ("softmax", "softmax"),
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One operation with what is known of it."""

    place: int
    """In the gate's list."""
    operation: Operation
    values: Arranged
    family: Family
    pools: tuple[str, ...]
    """Which poolings it comes from, in order of execution: `mean`, `max`, both, or none."""

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the parameters it takes."""
        return tuple(one.weight for one in self.operation.operands if one.weight)


@dataclass(frozen=True)
class Stage:
    """Operations that are one step: alike, and at the same distance from the features."""

    family: Family
    items: tuple[Item, ...]

    @property
    def first(self) -> Item:
        """The one that ran first."""
        return self.items[0]


def items_of(gate: GateComputation, sizes: Sizes) -> tuple[Item, ...]:
    """The gate's operations, each with what its values are."""
    items: list[Item] = []
    for place, operation in enumerate(gate.operations):
        values = arranged(operation.shape, operation.value, gate.kind, sizes)
        before = [items[k] for k in operation.inputs]
        family = _family(operation, values, before, sizes)
        pools = tuple(dict.fromkeys(name for item in before for name in item.pools))
        if not pools:
            pools = tuple(n for n, names in POOLINGS.items() if operation.name in names)
        items.append(Item(place, operation, values, family, pools))
    return tuple(items)


def stages_of(items: Sequence[Item]) -> tuple[Stage, ...]:
    """The stages in order, from the features to the gate."""
    depth: list[int] = []
    groups: dict[tuple[int, Family, tuple[str, ...]], list[Item]] = {}
    for item in items:
        depth.append(1 + max((depth[k] for k in item.operation.inputs), default=-1))
        groups.setdefault((depth[-1], item.family, item.weights), []).append(item)
    ordered = sorted(groups.items(), key=lambda group: (group[0][0], group[1][0].place))
    return tuple(Stage(key[1], tuple(group)) for key, group in ordered)


def _family(  # noqa: PLR0911
    operation: Operation, values: Arranged, before: Sequence[Item], sizes: Sizes
) -> Family:
    name = operation.name
    changing = [one for one in operation.operands if one.weight is None]
    weighed = any(one.weight for one in operation.operands)
    wide = not before or before[0].values.kind == "features"
    if wide and not weighed and any(name in names for names in POOLINGS.values()):
        if values.kind == "channels":
            return "pool places" if _covers_all(operation, sizes) else "other"
        if values.kind == "map":
            return "pool channels"
    if name in NORMALISING:
        return "norm"
    if name in ("addmm", "mm") and weighed:
        return "dense"
    if name == "convolution":
        flat = {item.values.kind for item in before} <= {"channels", "units"} and before
        return "dense" if flat and values.kind in ("channels", "units") else "convolution"
    if name in ACTIVATIONS and operation.arguments[1:] == BOUNDS.get(name, operation.arguments[1:]):
        return "activation"
    if name in SQUASHES:
        return "squash"
    if name in ("cat", "stack"):
        return "concat"
    if name in ("add", "sub", "rsub", "mul", "div", "neg"):
        if len(changing) > 1:
            return "product" if name in ("mul", "div") else "sum"
        return "scale"
    return "other"


def _covers_all(operation: Operation, sizes: Sizes) -> bool:
    """Whether a pooling looks at every place: one with a window may leave out rows at the edge."""
    if operation.name not in ("avg_pool2d", "max_pool2d_with_indices"):
        return True
    window, padding = (_pair(one) for one in (*operation.arguments[1:], 0, 0)[:3:2])
    return window == (sizes.rows, sizes.columns) and padding == (0, 0)


def _pair(value: object) -> tuple[object, object]:
    """Rows and columns of a setting that may be one number for both."""
    numbers = value if isinstance(value, tuple) else (value,)
    return numbers[0], numbers[-1]


def dependent(operation: Operation) -> tuple[Operand, ...]:
    """The operands that are no weights."""
    return tuple(one for one in operation.operands if one.weight is None)
