"""Equations of what really ran: each value a symbol, each operation its sign, in LaTeX and text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from cbam_viz._numbers import number
from cbam_viz.computation import GateKind, Operand, Operation, Source
from cbam_viz.steps.groups import ACTIVATIONS, AVERAGING, SQUASHES, Item, Stage, dependent


@dataclass(frozen=True)
class Formula:
    """The same in LaTeX and in plain text."""

    latex: str
    text: str

    def inside(self, name: Formula) -> Formula:
        """The formula as the argument of a function."""
        return Formula(rf"{name.latex}\big({self.latex}\big)", f"{name.text}({self.text})")


def plain(latex: str, text: str | None = None) -> Formula:
    """A symbol that reads alike in both, or not."""
    return Formula(latex, latex if text is None else text)


SOURCES: Mapping[Source, Formula] = {
    "input": plain("F"),
    "gated": plain("F'", "F′"),
    "seen": plain(r"\tilde F", "F̃"),
    "elsewhere": plain("X"),
}
GATES: Mapping[GateKind, Formula] = {
    "channel": plain("M_c", "Mc"), "spatial": plain("M_s", "Ms"),
}  # fmt: skip
_SHORT = {"mean": "avg", "max": "max"}
_LETTERS = {
    "dense": "h", "activation": "h", "sum": "z", "scale": "y", "concat": "D", "convolution": "u",
    "norm": "v", "product": "p", "squash": "s", "other": "t",
}  # fmt: skip


def aligned(lines: Sequence[str]) -> str:
    """LaTeX of several lines that are aligned at their `&`; a single one as it is."""
    if len(lines) == 1:
        return lines[0].replace("&", "")
    return r"\begin{aligned} " + r" \\ ".join(lines) + r" \end{aligned}"


def filter_side(weight: Tensor) -> str:
    """Such as `7 × 7`; of a convolution along one axis `3`."""
    return " × ".join(map(str, weight.shape[2:]))


class Symbols:
    """The symbols of one gate's values, and expressions made of them."""

    def __init__(
        self,
        kind: GateKind,
        seen: Source,
        items: Sequence[Item],
        stages: Sequence[Stage],
        *,
        weights: Mapping[str, Tensor],
        last: Item | None,
    ) -> None:
        self._items, self._weights, self._last = items, weights, last
        self.seen = SOURCES[seen]
        """The features that the gate multiplies."""
        self.gate = plain(
            f"{GATES[kind].latex}({self.seen.latex})", f"{GATES[kind].text}({self.seen.text})"
        )
        self._numbered: dict[str, int] = {}
        for item in items:
            if item.family in ("dense", "convolution"):
                for name in item.weights[:1] if item.family == "convolution" else item.weights:
                    if name in weights and weights[name].ndim > 1:
                        self._numbered.setdefault(name, len(self._numbered))
        self._symbols: dict[int, Formula] = {}
        used: set[str] = set()
        for stage in stages:
            self._name(stage, kind, used)

    def _name(self, stage: Stage, kind: GateKind, used: set[str]) -> None:
        """Give each value of a stage a symbol that no other stage has."""
        for item in stage.items:
            if item is self._last:
                self._symbols[item.place] = self.gate
                continue
            lone = item.pools if len(item.pools) == 1 else ()
            below = _SHORT[lone[0]] if lone else ""
            if stage.family in ("pool places", "pool channels"):
                above = "c" if kind == "channel" else "s"
                latex = rf"{self.seen.latex}^{{{above}}}_{{\mathrm{{{below}}}}}"
                symbol = plain(latex, f"{self.seen.text}_{below}")
            else:
                letter = _LETTERS[stage.family]
                if stage.family == "dense" and item.values.kind == "channels":
                    letter = "z"
                while letter + below in used:
                    letter += "'"
                latex = letter + (rf"_{{\mathrm{{{below}}}}}" if below else "")
                symbol = plain(latex, letter.replace("'", "′") + (f"_{below}" if below else ""))
            self._symbols[item.place] = symbol
        for item in stage.items:
            text = self._symbols[item.place].text
            used.add(text.replace("′", "'").replace("_", ""))

    def of(self, item: Item) -> Formula:
        """The symbol of an operation's result."""
        return self._symbols[item.place]

    def matrix(self, item: Item) -> Formula:
        """The weights of a dense layer or of a convolution, numbered within the gate."""
        name = next((one for one in item.weights if one in self._numbered), None)
        index = self._numbered.get(name, 0) if name is not None else 0
        if item.family == "dense":
            return plain(f"W_{index}", f"W{index}")
        side = filter_side(self._weights[name]) if name is not None else ""
        several = sum(self._weights[one].ndim > 2 for one in self._numbered) > 1
        below = f"_{index}" if several else ""
        return plain(
            rf"f{below}^{{{side}}}".replace("×", r"\times"), f"f{below.strip('_')}[{side}]"
        )

    def step(self, item: Item) -> Formula:
        """The operation on the symbols of what it takes."""
        return self._applied(item, lambda k: self._symbols[k])

    def sum_in(self, item: Item) -> tuple[Formula, list[Formula], Formula]:
        """The value by the pooled values: what opens, the terms of the sum inside, what closes."""
        inputs = item.operation.inputs
        inner = self._items[inputs[0]] if item.family == "squash" and inputs else item
        if inner is item:
            return plain(""), self._terms(item), plain("")
        mark = "\0"
        around = self._applied(item, lambda _: plain(mark))
        (before, _, after), (first, _, last) = (
            around.latex.partition(mark), around.text.partition(mark),
        )  # fmt: skip
        return Formula(before, first), self._terms(inner), Formula(after, last)

    def _terms(self, item: Item) -> list[Formula]:
        if item.family == "sum" and item.operation.name == "add" and _unscaled(item.operation):
            return [term for k in item.operation.inputs for term in self._terms(self._items[k])]
        return [self._whole(item.place)]

    def _whole(self, place: int) -> Formula:
        item = self._items[place]
        if item.family in ("pool places", "pool channels"):
            return self._symbols[place]
        return self._applied(item, self._whole)

    def _operand(self, operand: Operand, inner: Callable[[int], Formula]) -> Formula:
        if operand.operation is not None:
            return inner(operand.operation)
        if operand.source is not None:
            return SOURCES[operand.source]
        return plain("b")

    def _applied(self, item: Item, inner: Callable[[int], Formula]) -> Formula:  # noqa: PLR0911
        operation = item.operation
        parts = [self._operand(one, inner) for one in dependent(operation)]
        if item.family in ("pool places", "pool channels"):
            over = "places" if item.family == "pool places" else "channels"
            pool = "AvgPool" if operation.name in AVERAGING else "MaxPool"
            name = plain(rf"\mathrm{{{pool}}}_{{\mathrm{{{over}}}}}", f"{pool} over {over} ")
            return parts[0].inside(name)
        if item.family == "dense":
            matrix, bias = self.matrix(item), self._bias(item)
            return plain(
                rf"{matrix.latex}\,{_bound(parts[0].latex)}{bias.latex}",
                f"{matrix.text} {_bound(parts[0].text)}{bias.text}",
            )
        if item.family == "convolution":
            bias = self._bias(item)
            made = parts[0].inside(self.matrix(item))
            return plain(made.latex + bias.latex, made.text + bias.text)
        if item.family == "norm":
            return parts[0].inside(plain(r"\mathrm{BN}", "BN"))
        if item.family == "activation":
            called = ACTIVATIONS[operation.name]
            return parts[0].inside(plain(rf"\mathrm{{{called}}}", called))
        if item.family == "squash":
            sign = SQUASHES[operation.name][1]
            latex = {"σ": r"\sigma", "hσ": r"\mathrm{h}\sigma"}.get(sign, rf"\mathrm{{{sign}}}")
            return parts[0].inside(plain(latex, sign))
        if item.family in ("sum", "product", "scale"):
            return _arithmetic(operation, lambda one: self._operand(one, inner))
        if item.family == "concat":
            stacked = r";\, ".join(one.latex for one in parts)
            return Formula(f"[{stacked}]", f"[{'; '.join(one.text for one in parts)}]")
        word = operation.name.strip("_")
        escaped, joined = word.replace("_", r"\_"), ", ".join(one.latex for one in parts)
        return Formula(
            rf"\mathrm{{{escaped}}}({joined})",
            f"{word}({', '.join(one.text for one in parts)})",
        )

    def _bias(self, item: Item) -> Formula:
        name = bias_of(item.operation, self._weights)
        if name is None:
            return plain("")
        index = self.matrix(item).latex.partition("_")[2] if item.family == "dense" else ""
        return plain(f" + b_{index}" if index else " + b", f" + b{index}")


def bias_of(operation: Operation, weights: Mapping[str, Tensor]) -> str | None:
    """The name of the bias that a layer or a convolution adds; None if it adds none."""
    names = [one.weight for one in operation.operands if one.weight]
    return next((name for name in names if name in weights and weights[name].ndim == 1), None)


def _unscaled(operation: Operation) -> bool:
    """`torch.add` can multiply its second operand by a number."""
    return all(isinstance(one, Operand) or one == 1 for one in operation.arguments)


def _bound(text: str) -> str:
    """In brackets if a product in front of it would take only a part of it."""
    depth = 0
    for sign in text:
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and sign in "+−":
            return f"({text})"
    return text


_SIGNS = {"add": ("+", "+"), "sub": ("-", "−"), "mul": (r"\cdot", "·"), "div": ("/", "/")}


def _arithmetic(operation: Operation, told: Callable[[Operand], Formula]) -> Formula:
    """Sums and products of values, and of a value and a number."""
    name, arguments = operation.name, list(operation.arguments[:2])
    if name == "neg":
        one = told(arguments[0])
        return Formula(f"-{_bound(one.latex)}", f"−{_bound(one.text)}")
    if name == "rsub":
        name, arguments = "sub", arguments[::-1]
    sides = [told(one) if isinstance(one, Operand) else plain(_short(one)) for one in arguments]
    latex, text = _SIGNS[name]
    if name == "mul" and all(isinstance(one, Operand) for one in arguments):
        latex, text = r"\otimes", "⊗"
    if name in ("mul", "div"):
        sides = [Formula(_bound(one.latex), _bound(one.text)) for one in sides]
        if not isinstance(arguments[1], Operand) and name == "mul":
            sides = sides[::-1]
    return Formula(
        f"{sides[0].latex} {latex} {sides[1].latex}", f"{sides[0].text} {text} {sides[1].text}"
    )


def _short(value: object) -> str:
    if isinstance(value, (int, float)):
        return f"{value:g}" if abs(value) < 1e4 else number(float(value))
    return str(value)
