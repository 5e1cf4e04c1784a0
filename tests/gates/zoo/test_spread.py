"""Gates as large as the features: what they are follows from how they were made."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.gates import capture
from cbam_viz.gates.watch.graph import Node
from cbam_viz.gates.watch.products import Watch
from cbam_viz.gates.watch.trace import parameter_storages

from . import innocent, published, spread, unsupported
from .test_exact import EXACT, SIZES, assert_exact, ready_again
from .truth import Gates, Make, host, photo, truths

WIDE: dict[str, Make] = {
    f"{shape}[{widening}]": partial(cls, widen=widen)
    for shape, cls in spread.SHAPES.items()
    for widening, widen in spread.WIDENINGS.items()
} | spread.ALONE


@pytest.mark.parametrize("name", WIDE)
def test_widened_gates_are_exact(name: str) -> None:
    """Also with as many photos and channels as rows and columns, and in later forwards."""
    model = host(WIDE[name])
    for seed, size in enumerate(SIZES.values()):
        x = photo(*size, seed=seed)
        with torch.no_grad():
            attention = capture(model, x)
        assert_exact(attention, truths(ready_again(model, x)))
        assert attention.unsupported == ()


@pytest.mark.parametrize("name", ["Outer[repeated]", "OuterHalf[expanded]", "OuterMatrix"])
def test_features_around_a_product_of_gates(name: str) -> None:
    model = host(WIDE[name])
    with torch.no_grad():
        layer = capture(model, photo(), features=True)["first"]
        before = torch.relu(model.stem(photo()))
        assert torch.allclose(layer.features.before.relu(), before, atol=1e-6)
    gates = layer.channel[:, :, None, None] * layer.spatial[:, None]
    assert torch.allclose(layer.features.before * gates, layer.features.after, atol=1e-6)


@pytest.mark.parametrize("name", ["Outer[repeated]", "InTurn[copied]", "OuterHalf[tiled]"])
def test_a_black_photo_changes_nothing(name: str) -> None:
    """Where all gates are constant, each is still what it was made to be."""
    model = host(WIDE[name])
    model.stem.bias.data.zero_()
    for x in (torch.zeros(2, 3, 24, 20), photo(), torch.zeros(2, 3, 24, 20)):
        with torch.no_grad():
            attention = capture(model, x)
        assert_kinds(attention)
        if x.any():
            assert_exact(attention, truths(ready_again(model, x)))


def assert_kinds(attention: Any) -> None:
    assert list(attention) == ["first", "second"]
    assert {layer.composition for layer in attention.values()} == {"channel then spatial"}
    assert attention.unsupported == ()


class WrittenInto(Gates):
    """A repeated gate of which a part is overwritten is as large as the features in truth."""

    def forward(self, x: Tensor) -> Tensor:
        gate = self.channel(x).repeat(1, 1, *x.shape[2:])
        gate[:, :, ::2] = self.spatial(x)[:, :, ::2]
        return x * gate


class Copied(Gates):
    """A repeated gate into whose memory another one is copied."""

    def forward(self, x: Tensor) -> Tensor:
        gate = self.channel(x).repeat(1, 1, *x.shape[2:])
        gate.copy_(torch.sigmoid(x))
        return x * gate * self.spatial(x)


class Blurred(Gates):
    """A convolution with padding of a repeated gate: other values at the border."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.blur = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.blur(self.channel(x).repeat(1, 1, *x.shape[2:])).sigmoid()


@pytest.mark.parametrize("make", [WrittenInto, Blurred])
def test_what_was_one_value_and_is_no_more(make: Make) -> None:
    model = host(make)
    with torch.no_grad():
        attention = capture(model, photo())
    assert list(attention) == []
    assert {entry.module for entry in attention.unsupported} == {"first", "second"}
    assert all("every value" in entry.reason for entry in attention.unsupported)


class Sceptic(Watch):  # type: ignore[no-untyped-call]
    """Compares what is said of a tensor with its values."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(parameter_storages(model))
        self.claims = 0

    def happened(self, node: Node, *rest: Any) -> None:
        result = rest[2]
        for d in node.same:
            assert d < result.ndim
            if result.shape[d] > 1 and not node.name.startswith("empty"):
                first = result.narrow(d, 0, 1).expand_as(result)
                assert torch.allclose(result, first, atol=1e-6, equal_nan=True), node.name
                self.claims += 1
        super().happened(node, *rest)


EVERYTHING = {
    **EXACT, **WIDE, **unsupported.STRUCTURES, **innocent.STRUCTURES, **published.OTHER,
    "WrittenInto": WrittenInto, "Copied": Copied, "Blurred": Blurred,
}  # fmt: skip


def test_what_is_said_to_be_one_value_is() -> None:
    claims = 0
    for make in EVERYTHING.values():
        model, x = host(make), photo()
        watch = Sceptic(model)
        watch.place_input(x)
        with torch.no_grad(), watch:
            model(x)
        assert watch.errors == []
        claims += watch.claims
    assert claims > 500
