"""What a capture returns: the gates of each layer, as plain frozen data.

This module knows neither hooks nor pictures. Everything downstream (statistics, rendering, charts,
figures, stores) reads these classes and nothing else of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cbam_viz._text import nearest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cbam_viz.computation import Computation

Composition = Literal[
    "channel then spatial", "spatial then channel", "parallel", "channel", "spatial"
]
"""How a layer's gates act on its features; the last two have one gate only.

The first two are `x * M_c * M_s`, in whatever way the network multiplies it (`x * (M_c * M_s)`
too), with or without the input added after each product. In `parallel` both gates act on `x`
itself, and the two results are added, compared or put side by side.
"""

FoundBy = Literal["hook", "watch"]
"""`hook`: a forward hook on a module that is known to be what multiplies. `watch`: the product
itself was seen while the layer ran."""


@dataclass(frozen=True)
class Cells:
    """Where the cells of a map lie on the network's input.

    Coordinates are continuous: input pixel `k` covers `[k, k + 1)`. The receptive field of cell
    `(i, j)` is centred on `(offset_y + i * stride_y, offset_x + j * stride_x)`. For a ResNet's last
    stage that is `(0.5 + 32 i, 0.5 + 32 j)`: stretching a 7 x 7 map over 224 pixels would put every
    cell 15.5 pixels too far to the lower right. A stride is negative where the network has flipped
    its features.
    """

    stride_y: float
    stride_x: float
    offset_y: float
    offset_x: float
    exact: bool = True
    """False where what reaches a cell is centred differently on different paths (the finest of
    those that merge then says where the cell lies), or where an operation on the way moves
    positions in a way that is not known. Where nothing is known at all, the cells are spread
    evenly over the input."""
    within: float | None = 0.0
    """How far at most, in input pixels, anything that reaches a cell is centred from where the cell
    is placed: 0 if `exact`; None where that is not known."""


@dataclass(frozen=True)
class ChannelBranches:
    """The two summands of the channel logits (CBAM, section 3.1, eq. 2)."""

    average: Tensor
    """MLP(AvgPool(x)), (B, C) float32."""
    maximum: Tensor
    """MLP(MaxPool(x)), (B, C) float32."""


@dataclass(frozen=True)
class SpatialDescriptors:
    """The two maps that the spatial convolution sees (CBAM, section 3.2, eq. 3)."""

    mean: Tensor
    """Mean over channels of the channel-refined features, (B, h, w) float32."""
    maximum: Tensor
    """Maximum over channels of the channel-refined features, (B, h, w) float32."""


@dataclass(frozen=True)
class LayerFeatures:
    """A layer's feature maps before and after each gate, (B, C, h, w) float32 each."""

    before: Tensor
    """What the layer received."""
    between: Tensor | None
    """After the first gate; None for a layer of one gate or of parallel gates."""
    after: Tensor
    """After all gates, before anything (a residual, say) is added."""


@dataclass(frozen=True)
class LayerAttention:
    """The gates of one call of one layer: float32, on the CPU, detached, nobody else's memory.

    B is the batch that the layer saw: where the network folds windows, frames or crops into its
    batch, each of them has a row of its own.
    """

    name: str
    """Key in `Attention`: the module's dotted name, with `#2`, `#3` ... for further calls; the next
    free number where another module has that very name."""
    module: str
    """The module's dotted name."""
    call: int
    """1 for the module's first call in the forward."""
    stage: str
    """The part of the network it belongs to, such as `layer3` or `blocks.2`."""
    channel: Tensor | None
    """Channel weights M_c, (B, C); None for a spatial-only gate."""
    spatial: Tensor | None
    """Spatial map M_s, (B, h, w); None for a channel-only gate."""
    cells: Cells | None
    """Where the map's cells lie on the input; None for a channel-only gate."""
    composition: Composition
    found_by: FoundBy
    verified: bool
    """True if every product of the layer was seen, and features times these gates give its result
    within rounding of the dtype it ran in. Later forwards of a network that was watched are checked
    at a few positions, and watched again if that fails."""
    dtype: torch.dtype
    """What the gates were computed in."""
    block: str | None = None
    """The block of that stage, such as `layer3.0`; empty where the stage counts none, None where
    only the name can say."""
    weights: tuple[str, ...] = ()
    """Dotted names of the parameters and buffers that make the gates out of the features; empty if
    the result was read from a file."""
    branches: ChannelBranches | None = None
    descriptors: SpatialDescriptors | None = None
    features: LayerFeatures | None = None
    computation: Computation | None = None

    def with_gates(
        self, channel: Tensor | None, spatial: Tensor | None, dtype: torch.dtype
    ) -> LayerAttention:
        """The same layer with the gates of another forward.

        What `dataclasses.replace` gives, at a tenth of its cost: every layer of every capture is
        made so.
        """
        made = object.__new__(type(self))
        kept = {**self.__dict__, "channel": channel, "spatial": spatial, "dtype": dtype}
        object.__setattr__(made, "__dict__", kept)
        return made


@dataclass(frozen=True)
class Unsupported:
    """Attention that was seen and cannot be given as one M_c and one M_s."""

    module: str
    reason: str
    """In words, such as `a dense gate: a weight for every value`."""


@dataclass(frozen=True, repr=False)
class Attention(Mapping[str, LayerAttention]):
    """All gates of one forward, by layer name, in order of execution.

    `output` is what the model returned, as it returned it. `attention["layer1.0.se"].channel` is
    (B, C) and `.spatial` (B, h, w).
    """

    layers: Mapping[str, LayerAttention]
    output: Any
    input_size: tuple[int, int]
    """Height and width of the network's input in pixels; (0, 0) if it took no picture."""
    unsupported: tuple[Unsupported, ...] = ()
    not_called: tuple[str, ...] = field(default=())
    """Attention modules that exist in the network and did not run in this forward."""

    def __getitem__(self, name: str) -> LayerAttention:
        if name not in self.layers:
            near = ", ".join(nearest([*self.layers], str(name)))
            more = f" Near it: {near}." if near else ""
            raise KeyError(f"There is no layer {name!r} in {self!r}.{more}")
        return self.layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        height, width = self.input_size
        told = [
            f"<Attention of {len(self)} layers ({_few([*self])}) on an input of {height} x {width}"
        ]
        if self.unsupported:
            told.append(
                f"not captured: {_few([f'{u.module} ({u.reason})' for u in self.unsupported])}"
            )
        if self.not_called:
            told.append(f"not called: {_few(self.not_called)}")
        return "; ".join(told) + ">"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    def calls(self, module: str) -> tuple[LayerAttention, ...]:
        """All calls of one module, in order; empty if it was not captured."""
        return tuple(layer for layer in self.layers.values() if layer.module == module)


def _few(names: Sequence[str]) -> str:
    """The first ones and the last."""
    return ", ".join(names if len(names) <= 3 else (*names[:2], "...", names[-1]))


@dataclass
class _Html:
    """How notebooks show results; set from above, as this module knows no pictures."""

    render: Callable[[Any], str] | None = None


_html = _Html()


def show_in_notebooks(render: Callable[[Any], str]) -> None:
    """Let `render` make the HTML that notebooks show for an `Attention` or an `Analysis`."""
    _html.render = render


def html_of(result: Any) -> str | None:
    """Return what a notebook shows for a result; None if nothing was set."""
    return _html.render(result) if _html.render is not None else None
