"""The steps of one gate in words, with the numbers of the followed channel and cell."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from cbam_viz._numbers import number
from cbam_viz.attention import Cells
from cbam_viz.computation import GateComputation, Operand, Source
from cbam_viz.images import Geometry, numbers_on_photo, photo_shares
from cbam_viz.steps.groups import ACTIVATIONS, SQUASHES, Item, Stage
from cbam_viz.steps.picturing import FROM, TITLES, Context, gate_picture, pictures_of
from cbam_viz.steps.records import Followed, Number, Step, Values, spread
from cbam_viz.steps.symbols import Formula, Symbols, aligned, bias_of, filter_side
from cbam_viz.steps.values import GateValues


class GateTelling(GateValues):
    """One gate's stages as steps."""

    def __init__(
        self,
        gate: GateComputation,
        seen: Source,
        value: Tensor,
        *,
        followed: Followed,
        weights: Mapping[str, Tensor],
        geometry: Geometry | None,
        cells: Cells | None,
    ) -> None:
        super().__init__(gate, value, followed, weights)
        self._geometry, self._cells = geometry, cells
        self.symbols = Symbols(
            gate.kind, seen, self.items, self.stages, weights=weights, last=self.last
        )
        self._context = Context(gate, self.items, self.last, followed, self.unit, weights)

    def steps(self) -> tuple[Step, ...]:
        """From pooling to the gate."""
        steps = tuple(self._step(stage) for stage in self.stages)
        return steps if self.last is not None else (*steps, self._gate_alone())

    def _gate_alone(self) -> Step:
        """The gate where no operation gives it as it is: it is spread, cut or scaled on the way."""
        kind = self.gate.kind
        picture = gate_picture(kind, self._value[0].numpy(), self.followed)
        value = float(
            self._value[0][self.followed.cell if kind == "spatial" else self.followed.channel]
        )
        told = self._got(self._value[0].numpy())
        return Step(
            "gate", kind, picture.title, "", "",
            "These are the factors that the features are multiplied by.", "",
            (told,), (Number(self.symbols.gate.text, value),), (picture,),
            reason="What makes them of the values above (spreading over groups or places, cutting "
            "apart, a fixed factor in the product itself) is not shown as a step."
            if self.items
            else "No operation between the features and these factors could be seen.",
        )  # fmt: skip

    def _step(self, stage: Stage) -> Step:
        tell = {
            "pool places": self._pool_places,
            "pool channels": self._pool_channels,
            "dense": self._dense,
            "convolution": self._convolution,
            "norm": self._norm,
            "activation": self._activation,
            "squash": self._squash,
        }.get(stage.family, self._plain)
        title, words, arithmetic = tell(stage)
        pictures, reason = pictures_of(self._context, stage)
        last = self.last in stage.items
        equation = self._equation(stage, whole=last)
        return Step(
            key="gate" if last else stage.family,
            gate=self.gate.kind,
            title=title,
            equation=equation.latex,
            formula=equation.text,
            words=words,
            sizes=self._sizes(stage),
            arithmetic=tuple(arithmetic),
            numbers=tuple(self._numbers(stage)),
            pictures=tuple(pictures),
            reason=reason,
            note=self._note(stage),
        )

    def _note(self, stage: Stage) -> str:
        if stage.family != "pool places" or not (self._geometry and self._geometry.border_share):
            return ""
        return "For the network all cells count here, those in the border too."

    # Values of the followed channel, cell or unit.

    def _numbers(self, stage: Stage) -> list[Number]:
        named = [(item, self.symbols.of(item).text) for item in stage.items]
        return [Number(name, value) for item, name in named for value in self.at(item)]

    # What is told of each kind of stage: title, words, arithmetic.

    def _pool_places(self, stage: Stage) -> tuple[str, str, list[str]]:
        cells = self.sizes.rows * self.sizes.columns
        across = f"all {self.sizes.rows} × {self.sizes.columns} = {cells} cells"
        words = {
            "mean": f"AvgPool over places takes the mean of each channel over {across}: how "
            "present a pattern is.",
            "max": f"MaxPool over places takes the highest of {across}: how strongly the pattern "
            "occurs anywhere.",
        }
        parts = [
            f"its {'mean' if item.pools == ('mean',) else 'maximum'} is {self._said(item)}"
            for item in stage.items
        ]
        told = f"Channel {self.followed.channel}: {' and '.join(parts)}."
        return "Pooling over places", self._of_pools(stage, words), [told]

    def _pool_channels(self, stage: Stage) -> tuple[str, str, list[str]]:
        across = f"all {self.sizes.channels} channels"
        words = {
            "mean": f"AvgPool over channels takes the mean over {across} in each cell: how much is "
            "there.",
            "max": f"MaxPool over channels takes the highest of {across} in each cell: how strong "
            "the strongest pattern is.",
        }
        parts = [
            f"{'mean' if item.pools == ('mean',) else 'maximum'} {self._said(item)}"
            for item in stage.items
        ]
        told = f"{self._where()}: {', '.join(parts)}."
        return "Pooling over channels", self._of_pools(stage, words), [told]

    def _of_pools(self, stage: Stage, words: Mapping[str, str]) -> str:
        return " ".join(words[pool] for item in stage.items for pool in item.pools)

    def _dense(self, stage: Stage) -> tuple[str, str, list[str]]:
        item, twice = stage.first, len(stage.items) > 1
        before = self.given(item)
        many, fewer = before[0] if before else 0, math.prod(item.values.shape)
        lone = self._lone(stage)
        matrix = self.symbols.matrix(item).text
        kind = "Shared MLP" if twice else "MLP"
        layers = [s for s in self.stages if s.family == "dense"]
        title = f"{kind}{lone}, layer {layers.index(stage) + 1} of {len(layers)}"
        if len(layers) == 1:
            title = f"One layer of weights{lone}"
        words = f"{matrix} turns {many} numbers into {fewer}, each a weighted sum of them"
        if item.operation.name == "convolution" and self.matrix_of(item) is None:
            words = (
                f"A convolution along the channels: each of the {fewer} numbers is a weighted sum "
                "of its neighbours"
            )
        words += ", with the same weights for both vectors." if twice else "."
        if many > fewer > 0 and many % fewer == 0:
            words += f" The reduction ratio is {many} / {fewer} = {many // fewer}."
        if bias_of(item.operation, self._weights):
            words += " A bias is added to each."
        return title, words, [self._each(stage)]

    def _activation(self, stage: Stage) -> tuple[str, str, list[str]]:
        name = ACTIVATIONS[stage.first.operation.name]
        words = f"{name} acts on each number by itself."
        if name == "ReLU":
            words = "ReLU sets negative numbers to 0 and leaves the others."
            counted = [
                f"{int((item.values.values > 0).sum())} of {item.values.values.size}"
                + (f" {self._from(item)}" if len(stage.items) > 1 else "")
                for item in stage.items
                if item.values.values is not None
            ]
            if counted:
                words += f" Above 0: {' and '.join(counted)}."
        return f"{name}{self._lone(stage)}", words, [self._each(stage)]

    def _squash(self, stage: Stage) -> tuple[str, str, list[str]]:
        name, sign = SQUASHES[stage.first.operation.name]
        item = stage.first
        last = item is self.last
        if last and self.gate.kind == "channel":
            words = (
                "One weight for each channel: near 1 lets the channel pass, near 0 holds it back."
            )
        elif last:
            words = "One weight for each place: near 1 lets the cell pass, near 0 holds it back."
        else:
            words = "Each number is squeezed between fixed bounds."
        before = [self.items[k] for k in item.operation.inputs]
        told = []
        if len(stage.items) == len(before) == 1 and self.at(before[0]) and self.at(item):
            inner, value = number(self.at(before[0])[0]), number(self.at(item)[0])
            told.append(f"{self._subject(item)}: {sign}({inner}) = {value}")
        told = told or [self._each(stage)]
        if last and item.values.values is not None:
            told.append(self._got(item.values.values))
        title = f"{name[0].upper()}{name[1:]}{self._lone(stage)}"
        if last:
            title += ": the channel weights" if self.gate.kind == "channel" else ": the spatial map"
        return title, words, told

    def _convolution(self, stage: Stage) -> tuple[str, str, list[str]]:
        item = stage.first
        weight = next((self._weights[n] for n in item.weights if self._weights[n].ndim > 2), None)
        side = filter_side(weight) if weight is not None else ""
        words = "A filter slides over its input and weighs each place with its neighbourhood."
        told = [self._each(stage)]
        if weight is not None:
            maps, area = weight.shape[1], math.prod(weight.shape[2:])
            many = "map" if maps == 1 else "maps"
            words = (
                f"A filter of {side} weights for each of {maps} {many} slides over them and weighs "
                "each place with its neighbourhood"
            )
            padded = any(item.operation.arguments[4])
            words += "; beyond the edge it finds zeros." if padded else "."
            value = self.at(item)
            if len(value) == 1 and weight.shape[0] == 1:
                bias = bias_of(item.operation, self._weights)
                more = f", and the bias {number(self.weight_at(bias))}," if bias else ""
                told = [
                    f"{self._where()}: {maps * area} products of weights and values{more} add up "
                    f"to {number(value[0])}"
                ]
        return f"{side} convolution{self._lone(stage)}".strip(), words, told

    def _norm(self, stage: Stage) -> tuple[str, str, list[str]]:
        told = [self._normed(item) for item in stage.items]
        words = (
            "BatchNorm shifts and scales by numbers learnt in training: "
            "γ (u − μ) / √(σ² + ε) + β, with the mean μ and the variance σ² of the training data."
        )
        training = any(one is True for one in stage.first.operation.arguments)
        if training:
            words = "BatchNorm in train mode: mean and variance are those of this very input."
        return f"BatchNorm{self._lone(stage)}", words, [one for one in told if one]

    def _normed(self, item: Item) -> str:
        """`γ × (u − μ) / √(σ² + ε) + β = v` in the followed channel or cell."""
        operation = item.operation
        values, before = self.at(item), [self.items[k] for k in operation.inputs]
        inner = self.at(before[0]) if before else []
        names = [one.weight if isinstance(one, Operand) else None for one in operation.arguments]
        numbers = [one for one in operation.arguments if isinstance(one, float)]
        if (
            len(values) != 1
            or len(inner) != 1
            or not numbers
            or any(
                name and (name not in self._weights or self._weights[name].ndim > 1)
                for name in names
            )
        ):
            return ""
        place = {"map": 0, "channels": self.followed.channel}.get(item.values.kind)
        if place is None:
            place = (self.unit or 0) if item.values.kind == "units" else self.followed.channel
        gamma, beta, mean, variance = (
            self.weight_at(name, place) if name else default
            for name, default in zip(names[1:5], (1.0, 0.0, math.nan, math.nan), strict=False)
        )
        if math.isnan(mean):
            return ""
        return (
            f"{self._subject(item)}: {number(gamma)} × ({number(inner[0])} − {_signed(mean)}) / "
            f"√({number(variance)} + {number(numbers[-1])}) + {_signed(beta)} = {number(values[0])}"
        )

    def _plain(self, stage: Stage) -> tuple[str, str, list[str]]:
        item, name = stage.first, stage.first.operation.name.strip("_")
        lone = self._lone(stage)
        inputs = [value for k in item.operation.inputs for value in self.at(self.items[k])]
        values = self.at(item)
        if stage.family == "sum" and len(inputs) == 2 and len(values) == 1:
            sign = "+" if name == "add" else "−"
            ends = inputs if name != "rsub" else inputs[::-1]
            told = (
                f"{self._subject(item)}: {number(ends[0])} {sign} {_signed(ends[1])} = "
                f"{number(values[0])}"
            )
            both = "Mean and maximum are added" if len(item.pools) == 2 else "The sum"
            words = "Both are added, number by number."
            return f"{both}{lone}", words, [told]
        if stage.family == "concat":
            order = [TITLES[p] for k in item.operation.inputs for p in self.items[k].pools]
            words = "Nothing is computed: what comes next takes them together"
            words += f", in this order: {', '.join(order)}." if order else "."
            return "Put together (concatenation)", words, [self._each(stage)]
        titles = {
            "scale": "Scaled or shifted by a fixed number",
            "product": "Multiplied with each other",
            "sum": "Added up",
        }
        title = titles.get(stage.family, f"The operation “{name}”")
        words = (
            "" if stage.family in titles else "An operation that is not part of the paper's CBAM."
        )
        return f"{title}{lone}", words, [one for one in [self._each(stage)] if one]

    # Parts of sentences.

    def _got(self, values: Values) -> str:
        """The followed weight among all of them."""
        spatial = self.gate.kind == "spatial"
        who = self._where() if spatial else f"Channel {self.followed.channel}"
        got = number(float(values[self.followed.cell if spatial else self.followed.channel]))
        if spatial:
            shares = photo_shares(
                (self.sizes.rows, self.sizes.columns), self._cells, self._geometry
            )
            low, mean, _ = map(number, numbers_on_photo(values, shares))
            where = " over the photo" if self._geometry else ""
            return f"{who} gets {got}; the lowest weight is {low}, the mean{where} {mean}."
        low, high = map(number, spread(values))
        return f"{who} gets {got}; the lowest weight is {low}, the highest {high}."

    def _where(self) -> str:
        return self.followed.where.capitalize()

    def _subject(self, item: Item) -> str:
        kind = item.values.kind
        if kind in ("map", "maps"):
            return self._where()
        if kind == "units":
            return f"Unit {self.unit or 0}"
        if kind == "features":
            return f"Channel {self.followed.channel}, {self._where().lower()}"
        return f"Channel {self.followed.channel}"

    def _said(self, item: Item) -> str:
        return " and ".join(number(value) for value in self.at(item)) or "not kept"

    def _from(self, item: Item) -> str:
        return f"from {FROM[item.pools[0]]}" if len(item.pools) == 1 else ""

    def _each(self, stage: Stage) -> str:
        """The followed number of each of the stage's results."""
        shown = [item for item in stage.items if self.at(item)]
        if not shown:
            return ""
        several = len(shown) > 1
        parts = [f"{self._said(one)} {self._from(one) if several else ''}".strip() for one in shown]
        subject = self._subject(shown[0])
        if shown[0].values.kind == "units" and self.unit is not None:
            subject += f", which counts most for channel {self.followed.channel}"
        return f"{subject}: {', '.join(parts)}"

    def _lone(self, stage: Stage) -> str:
        """`, of the mean` where the maximum goes another way."""
        alone = len(stage.items) == 1 and len(stage.first.pools) == 1
        others = {pool for item in self.items for pool in item.pools} - set(stage.first.pools)
        return f", of {FROM[stage.first.pools[0]]}" if alone and others else ""

    def _sizes(self, stage: Stage) -> str:
        item = stage.first
        inputs = item.operation.inputs
        if stage.family == "concat":
            parts = [self.items[k].values.size for k in inputs]
            return f"{' and '.join(parts)} → {item.values.size}"
        before = self.items[inputs[0]].values.size if inputs else self.sizes.text
        after = item.values.size
        twice = ", twice" if len(stage.items) > 1 else ""
        return (f"{before} → {after}" if before != after else after) + twice

    def _equation(self, stage: Stage, *, whole: bool) -> Formula:
        """What the stage does; of the last one, the whole gate by the pooled values."""
        if not whole or self.last is None:
            pairs = [(self.symbols.of(item), self.symbols.step(item)) for item in stage.items]
            return Formula(
                aligned([f"{one.latex} &= {other.latex}" for one, other in pairs]),
                ", ".join(f"{one.text} = {other.text}" for one, other in pairs),
            )
        gate, (opening, terms, closing) = self.symbols.gate, self.symbols.sum_in(self.last)
        first, *more = [term.latex for term in terms]
        lines = [f"{gate.latex} &= {opening.latex}{first}", *(rf"&\quad {{}}+ {t}" for t in more)]
        lines[-1] += closing.latex
        return Formula(
            aligned(lines),
            f"{gate.text} = {opening.text}{' + '.join(t.text for t in terms)}{closing.text}",
        )


def _signed(value: float) -> str:
    """A number behind a sign: in brackets if it has one of its own."""
    text = number(value)
    return f"({text})" if text.startswith("−") else text
