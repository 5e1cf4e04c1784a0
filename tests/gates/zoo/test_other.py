"""Attention of other kinds is reported, and products that are no attention are passed over."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.attention import Unsupported
from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture

from . import arithmetic, innocent, published, sequential, unsupported
from .test_exact import SIZES, assert_exact
from .truth import Gates, Make, host, photo, truths

JOINT = "one joint gate: channel weights and a map put together before they act, as in BAM"
DENSE = "a dense gate: a weight for every value, neither channel weights nor a map"
NEITHER = ": neither channel weights nor a map"
BY_ROW = f"one weight for each channel and row{NEITHER}"
BY_COLUMN = f"one weight for each channel and column{NEITHER}"
ROTATED = "a map of channels and {}, on permuted axes: no map of rows and columns"
ROTATIONS = f"{ROTATED.format('columns')}; {ROTATED.format('rows')}"
MAPS = "one map for each of {} groups of channels"

REASONS = {
    "JointGate": JOINT,
    "JointSum": JOINT,
    "DenseGate": DENSE,
    "PaddedGather": DENSE,
    "FourMaps": MAPS.format(4),
    "FourMapsRepeated": MAPS.format(4),
    "GroupsInBatch": MAPS.format(2),
    "CoordinateAttention": f"{BY_ROW}; {BY_COLUMN}",
    "Triplet": ROTATIONS,
    "TripletView": ROTATIONS,
    "SplitAttention": "channel weights for each of 2 branches",
    "SplitRadix": "weights for several branches, which are summed up",
    "Unweighted": DENSE,
    "LargeKernel": DENSE,
    "AttentionalFusion": DENSE,
    "SiblingGate": DENSE,
    "GatedUnit": DENSE,
    "LargerGate": JOINT,
    "GeometricMean": JOINT,
    "NormedSum": JOINT,
    "OneChannel": "a gate on a map of one channel, where it cannot be told from the features",
    "Blend": "features blended by torch.lerp: no product of features and a gate",
    "SpatialGroups": MAPS.format(4),
    "NormWeights": DENSE,
    "Energy": DENSE,
    "Bottleneck": JOINT,
    "BottleneckMultiplied": JOINT,
    "BottleneckRepeated": JOINT,
    "Coordinates": f"{BY_COLUMN}; {BY_ROW}",
    "CoordinatesTogether": "one gate put together of weights for each channel and column and "
    "weights for each channel and row",
    "CoordinatesRepeated": f"{BY_ROW}; {BY_COLUMN}",
    "CoordinatesLast": f"{BY_ROW}; {BY_COLUMN}",
    "MultiScale": f"{BY_ROW}; {BY_COLUMN}; {MAPS.format(2)}",
    "Shuffled": DENSE,
    "GlobalDense": DENSE,
    "Strips": DENSE,
    "LocalChannels": DENSE,
    "GatheredPart": DENSE,
    "Residuals": DENSE,
    "PriorChannels": DENSE,
    "RotatedThrice": ROTATIONS,
    "BranchMaps": "one map for each of 2 branches",
    "OneNumber": "a gate of one number for the whole map",
}
"""What is told of each, word for word."""

EVERY = {**unsupported.STRUCTURES, **published.OTHER}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", unsupported.STRUCTURES)
def test_other_attention_is_reported(name: str, size: tuple[int, int, int]) -> None:
    model = host(unsupported.STRUCTURES[name])
    with torch.no_grad():
        attention = capture(model, photo(*size))
    assert list(attention) == []
    assert {entry.module for entry in attention.unsupported} == {"first", "second"}


def test_a_result_without_layers_says_why() -> None:
    """`capture` returns what it saw, output included; asking for a layer tells the reason."""
    model = host(unsupported.JointGate)
    with torch.no_grad():
        attention = capture(model, photo())
        assert torch.equal(attention.output, model(photo()))
    assert "0 layers" in repr(attention)
    with pytest.raises(KeyError, match=r"no layer 'first'.*not captured: first \(one joint gate"):
        attention["first"]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", EVERY)
def test_reasons_say_what_it_is(name: str, size: tuple[int, int, int]) -> None:
    """And what of it is channel weights or a map is given, exactly."""
    model = host(EVERY[name])
    with torch.no_grad():
        attention = capture(model, photo(*size))
    assert_exact(attention, truths(model))
    assert {entry.module for entry in attention.unsupported} == {"first", "second"}
    for entry in attention.unsupported:
        assert entry.reason == REASONS[name]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", innocent.STRUCTURES)
def test_what_is_no_attention_is_passed_over(name: str, size: tuple[int, int, int]) -> None:
    model = host(innocent.STRUCTURES[name])
    with torch.no_grad(), pytest.raises(NoAttentionError):
        capture(model, photo(*size))


class Beside(nn.Module):
    """Products that are no attention, followed by a CBAM."""

    def __init__(self, make: Make, channels: int) -> None:
        super().__init__()
        self.innocent = make(channels)
        self.cbam = sequential.GatesReturned(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.cbam(self.innocent(x)) + x


@pytest.mark.parametrize("name", innocent.STRUCTURES)
def test_what_is_no_attention_is_not_paired_with_gates(name: str) -> None:
    model = host(partial(Beside, innocent.STRUCTURES[name]))
    with torch.no_grad():
        attention = capture(model, photo(1))
    assert_exact(attention, truths(model))
    assert list(attention) == ["first.cbam", "second.cbam"]
    assert attention.unsupported == ()


class Volume(nn.Module):
    """CBAM on (B, C, D, H, W), or on signals (B, C, L): after a convolution, or on the input."""

    def __init__(self, dimensions: int, *, stem: bool, gates: str = "both") -> None:
        super().__init__()
        convolution = {1: nn.Conv1d, 3: nn.Conv3d}[dimensions]
        self.places = tuple(range(2, 2 + dimensions))
        self.stem = convolution(4, 4, 3, padding=1) if stem else nn.Identity()
        self.mlp = nn.Linear(4, 4) if gates != "map" else None
        self.score = convolution(2, 1, 3, padding=1) if gates != "channel" else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.mlp is not None:
            gate = self.mlp(x.mean(self.places)).sigmoid()
            x = x * gate.view(*gate.shape, *(1 for _ in self.places)).expand_as(x)
        if self.score is not None:
            maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
            x = x * self.score(maps).sigmoid()
        return x


SHAPES = {1: (30,), 3: (6, 7, 8)}
AXES = {1: "axis 2", 3: "axes 2, 3 and 4"}
ELSE = {
    1: "on features of 3 dimensions (a signal's, say), not (B, C, H, W)",
    3: "on features of 5 dimensions (a volume's, say), not (B, C, H, W)",
}


@pytest.mark.parametrize("gates", ["channel", "map", "both"])
@pytest.mark.parametrize("stem", [True, False], ids=["after a convolution", "on the input"])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_gates_on_volumes_and_signals_are_reported(dimensions: int, stem: bool, gates: str) -> None:
    torch.manual_seed(0)
    one, two = ("channel weights", "a map")
    if not stem:
        one, two = "a gate along axis 1", f"a gate along {AXES[dimensions]}"
    words = {"channel": (one,), "map": (two,), "both": (one, two)}[gates]
    reason = "; ".join(f"{word} {ELSE[dimensions]}" for word in words)
    for model in (
        Volume(dimensions, stem=stem, gates=gates),
        nn.Sequential(Volume(dimensions, stem=stem, gates=gates)),
    ):
        for batch in (1, 2):
            with torch.no_grad():
                attention = capture(model.eval(), torch.randn(batch, 4, *SHAPES[dimensions]))
            assert list(attention) == []
            module = "0" if isinstance(model, nn.Sequential) else "model"
            assert attention.unsupported == (Unsupported(module, reason),)


class Sequences(nn.Module):
    """What is no gate on (B, N, C): a gated unit, a norm, a mask of what is padded."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.out = nn.Linear(4, 16), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x * (x.abs().sum(-1, keepdim=True) > 0).float()
        x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        one, two = self.both(x).chunk(2, -1)
        return self.out(one * two.sigmoid()) + self.out(one * F.silu(two))


@pytest.mark.parametrize(
    "model", [Sequences(), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)]
)
def test_sequences_without_gates(model: nn.Module) -> None:
    with torch.no_grad(), pytest.raises(NoAttentionError):
        capture(model.eval(), torch.randn(2, 7, 4))


class InnerGrad(Gates):
    """A gradient computed in the forward: its products with the gates are no gates of its own."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            gate = self.channel(x)
            y = x * gate
            (slope,) = torch.autograd.grad(y.sum(), x)
        self.note(gate)
        return (y + slope).detach()


def test_a_backward_inside_a_forward_adds_no_layers() -> None:
    model = host(InnerGrad)
    attention = capture(model, photo())
    assert_exact(attention, truths(model))
    assert attention.unsupported == ()


AMBIGUOUS = {
    "OneStatement": sequential.OneStatement,
    "ProductOfGates": arithmetic.ProductOfGates,
    "JointGate": unsupported.JointGate,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_gate_left_out_on_maps_of_one_cell_is_named(name: str) -> None:
    model = host(AMBIGUOUS[name])
    with torch.no_grad():
        attention = capture(model, photo(2, 2, 2))
    assert {entry.module for entry in attention.unsupported} == {"first", "second"}
    assert all("one cell" in entry.reason for entry in attention.unsupported)


class TwoMaps(Gates):
    """A product of two maps is one map."""

    def forward(self, x: Tensor) -> Tensor:
        sa = self.spatial(x) * self.spatial(2 * x)
        self.note(spatial=sa)
        return x * sa


class TwoWeights(Gates):
    """A product of two channel gates is one."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x) * self.channel(2 * x)
        self.note(ca)
        return x * ca


@pytest.mark.parametrize("make", [TwoMaps, TwoWeights])
def test_gates_of_one_kind_multiplied_are_one_gate(make: Make) -> None:
    """And nothing is said of the product that makes it."""
    model = host(make)
    with torch.no_grad():
        attention = capture(model, photo())
    assert_exact(attention, truths(model))
    assert attention.unsupported == ()
