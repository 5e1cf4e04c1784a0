"""The public functions: one forward, or a block in which the user runs their own."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ..attention import (
    Attention,
    Cells,
    ChannelBranches,
    Composition,
    LayerAttention,
    LayerFeatures,
    SpatialDescriptors,
)
from ..errors import CaptureError, NoAttentionError
from .hooks import Tap, kept, tapping
from .known import KnownLayer, known_layers
from .structure import clean_name, input_size_of, plain_copy, stage_of, unwrap


def find_cbam_layers(model: nn.Module) -> list[str]:
    """Dotted names of the CBAM layers of `model`, in order of execution."""
    return [layer.name for layer in known_layers(unwrap(model)).values()]


def capture(
    model: nn.Module,
    *args: Any,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
    **kwargs: Any,
) -> Attention:
    """Run one forward, `model(*args, **kwargs)`, and return its gates and its output."""
    recorder = Capture(model, branches=branches, descriptors=descriptors, features=features)
    with recorder:
        recorder._run(args, kwargs)
    return recorder.attention()


class Capture:
    """Capture every forward of `model` that the user runs inside a `with` block."""

    def __init__(
        self,
        model: nn.Module,
        *,
        branches: bool = False,
        descriptors: bool = False,
        features: bool | Sequence[str] = False,
    ) -> None:
        self.model = model
        self.results: list[Attention] = []
        self._root = unwrap(model)
        self._branches, self._descriptors, self._features = branches, descriptors, features
        self._layers = list(known_layers(self._root).items())
        self._events: list[tuple[tuple[int, str], Tensor | None]] | None = None

    def __enter__(self) -> Capture:
        if not self._layers:
            raise NoAttentionError(
                "This model holds no CBAM layer. Make one with cbam_viz.create_model(name), or put "
                "CBAM into it with cbam_viz.insert_cbam(model)."
            )
        self._tapping = tapping(self._root, self._taps(), self)
        self._tapping.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tapping.__exit__(kind, error, trace)

    def attention(self) -> Attention:
        """The result of the last forward."""
        if not self.results:
            raise CaptureError("No forward of the model ended inside the block.")
        return self.results[-1]

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.model(*args, **kwargs)

    def _wants_features(self, name: str) -> bool:
        return self._features if isinstance(self._features, bool) else name in self._features

    def _taps(self) -> list[Tap]:
        taps = [Tap(self._root, (-1, "begin"), "before"), Tap(self._root, (-1, "end"))]
        for i, (prefix, layer) in enumerate(self._layers):
            module = self._root.get_submodule(prefix)
            if self._wants_features(layer.name):
                taps.append(Tap(module.get_submodule(layer.halves[0]), (i, "before"), "before"))
                taps.append(Tap(module.get_submodule(layer.halves[-1]), (i, "after")))
                if len(layer.halves) == 2:
                    taps.append(Tap(module.get_submodule(layer.halves[0]), (i, "between")))
            if self._branches and layer.branches:
                taps.append(Tap(module.get_submodule(layer.branches), (i, "branches")))
            if self._descriptors and layer.descriptors:
                taps.append(
                    Tap(module.get_submodule(layer.descriptors), (i, "descriptors"), "before")
                )
            if layer.channel:
                taps.append(Tap(module.get_submodule(layer.channel.path), (i, "channel")))
            if layer.spatial:
                taps.append(Tap(module.get_submodule(layer.spatial.path), (i, "spatial")))
        return taps

    def see(self, key: Any, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Take what a hook saw."""
        if key[1] == "begin":
            self._events = []
            self._size = input_size_of(args, {})
        elif self._events is None:
            return
        elif key[1] == "end":
            events, self._events = self._events, None
            self.results.append(self._assemble(events, output))
        elif key[1] in ("before", "descriptors"):
            self._events.append((key, kept(args[0])))
        else:
            self._events.append((key, kept(output)))

    def _assemble(
        self, events: list[tuple[tuple[int, str], Tensor | None]], output: Any
    ) -> Attention:
        calls: list[tuple[int, dict[str, list[Tensor]]]] = []
        open_calls: dict[int, dict[str, list[Tensor]]] = {}
        for (index, what), tensor in events:
            if tensor is None:
                continue
            call = open_calls.get(index)
            if call is None or (what in call and what != "branches"):
                call = open_calls[index] = {}
                calls.append((index, call))
            call.setdefault(what, []).append(tensor)
            layer = self._layers[index][1]
            last = "after" if self._wants_features(layer.name) else None
            if what == (last or ("spatial" if layer.spatial else "channel")):
                del open_calls[index]
        layers: dict[str, LayerAttention] = {}
        counts: dict[str, int] = {}
        for index, call in calls:
            layer = self._layers[index][1]
            counts[layer.name] = number = counts.get(layer.name, 0) + 1
            key = layer.name if number == 1 else f"{layer.name}#{number}"
            layers[key] = self._layer(key, number, layer, call)
        if not layers:
            raise CaptureError(
                "None of the model's CBAM layers ran in this forward: "
                + ", ".join(layer.name for _, layer in self._layers)
            )
        return Attention(
            layers=layers,
            output=output,
            input_size=self._size,
            not_called=tuple(layer.name for _, layer in self._layers if layer.name not in counts),
        )

    def _layer(
        self, key: str, number: int, known: KnownLayer, call: dict[str, list[Tensor]]
    ) -> LayerAttention:
        gates: dict[str, Tensor] = {}
        for what, site in (("channel", known.channel), ("spatial", known.spatial)):
            if site is not None and what in call:
                gate = call[what][0]
                gates[what] = torch.sigmoid(gate) if site.sigmoid else gate
        channel, spatial = gates.get("channel"), gates.get("spatial")
        composition: Composition = "channel then spatial"
        if spatial is None:
            composition = "channel"
        elif channel is None:
            composition = "spatial"
        cells = None
        if spatial is not None:
            cells = _even(self._size, (int(spatial.shape[-2]), int(spatial.shape[-1])))
        branches = call.get("branches", [])
        descriptors = call.get("descriptors", [])
        return LayerAttention(
            name=key,
            module=known.name,
            call=number,
            stage=stage_of(known.name),
            channel=None if channel is None else plain_copy(channel.flatten(1)),
            spatial=None if spatial is None else plain_copy(spatial[:, 0]),
            cells=cells,
            composition=composition,
            found_by="hook",
            verified=True,
            dtype=next(iter(gates.values())).dtype,
            branches=ChannelBranches(*(plain_copy(b.flatten(1)) for b in branches))
            if len(branches) == 2
            else None,
            descriptors=SpatialDescriptors(*(plain_copy(descriptors[0][:, k]) for k in (0, 1)))
            if descriptors
            else None,
            features=LayerFeatures(
                plain_copy(call["before"][0]),
                plain_copy(call["between"][0]) if "between" in call else None,
                plain_copy(call["after"][0]),
            )
            if "before" in call
            else None,
        )


def _even(size: tuple[int, int], map_size: tuple[int, int]) -> Cells:
    """Cells spread evenly over the input, for a map whose true placement is not known."""
    stride_y, stride_x = size[0] / map_size[0], size[1] / map_size[1]
    return Cells(stride_y, stride_x, stride_y / 2, stride_x / 2, exact=False)


__all__ = ["Capture", "capture", "clean_name", "find_cbam_layers"]
