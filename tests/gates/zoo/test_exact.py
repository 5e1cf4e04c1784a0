"""Every structure's gates, compared bit for bit with what the structure itself multiplied by."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.attention import Attention, LayerAttention
from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture

from . import arithmetic, composition, lone, published, sequential, squash
from .truth import Gates, Host, Make, Truth, host, photo, ready, truths

PAIRS: dict[str, Make] = {
    **sequential.STRUCTURES,
    **squash.STRUCTURES,
    **composition.STRUCTURES,
}
EXACT: dict[str, Make] = {
    **PAIRS,
    **arithmetic.EXACT,
    **lone.STRUCTURES,
    **published.EXACT,
}
SEVERAL: dict[str, Make] = {**composition.SEVERAL, **published.SEVERAL}

SIZES = {
    "one photo": (1, 24, 20),
    "three photos": (3, 24, 20),
    "C = H = W": (1, 16, 16),
    "B = C = H = W": (8, 16, 16),
}


def same(found: Tensor | None, expected: Tensor | None) -> bool:
    """Equal bit for bit, or both None."""
    if found is None or expected is None:
        return found is expected
    return found.dtype == torch.float32 and torch.equal(found, expected)


def assert_exact(attention: Attention, expected: Mapping[str, Truth]) -> None:
    """Names in order, gates to the bit, compositions."""
    assert list(attention) == list(expected)
    for name, truth in expected.items():
        layer = attention[name]
        assert layer.composition == truth.composition
        assert same(layer.channel, truth.channel), f"channel weights of {name}"
        assert same(layer.spatial, truth.spatial), f"spatial map of {name}"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", EXACT)
def test_gates_are_exact(name: str, size: tuple[int, int, int]) -> None:
    model, x = host(EXACT[name]), photo(*size)
    with torch.no_grad():
        attention = capture(model, x)
    expected = truths(model)
    assert len(expected) == 2, "the model ran more than once, or not at all"
    assert_exact(attention, expected)
    assert [layer.module for layer in attention.values()] == list(expected)
    assert [layer.call for layer in attention.values()] == [1, 1]
    assert attention.unsupported == ()


@pytest.mark.parametrize("name", EXACT)
def test_output_is_the_networks_own(name: str) -> None:
    model, x = host(EXACT[name]), photo()
    with torch.no_grad():
        assert torch.equal(capture(model, x).output, model(x))


@pytest.mark.parametrize("name", PAIRS)
def test_products_are_verified(name: str) -> None:
    model = host(PAIRS[name])
    with torch.no_grad():
        attention = capture(model, photo())
    assert [layer.verified for layer in attention.values()] == [True, True]


@pytest.mark.parametrize("name", EXACT)
def test_truth_is_worth_comparing(name: str) -> None:
    """Gates that were all equal would let a wrong capture pass."""
    model = host(EXACT[name])
    with torch.no_grad():
        model(photo())
    for truth in truths(model).values():
        for gate in (truth.channel, truth.spatial):
            assert gate is None or gate.std() > 1e-6


def sound(layer: LayerAttention, expected: Mapping[str, Truth], tolerance: float) -> bool:
    """Whether each gate given is one that was used, of the right kind."""

    def known(found: Tensor | None, kind: str) -> bool:
        used = [getattr(truth, kind) for truth in expected.values()]
        return found is None or any(
            gate is not None
            and gate.shape == found.shape
            and torch.allclose(gate, found, rtol=0, atol=tolerance)
            for gate in used
        )

    return known(layer.channel, "channel") and known(layer.spatial, "spatial")


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", arithmetic.NEVER_WRONG)
def test_unusual_arithmetic_is_never_wrong(name: str, size: tuple[int, int, int]) -> None:
    """What cannot be read is reported or refused, not passed over and not guessed."""
    model, x = host(arithmetic.NEVER_WRONG[name]), photo(*size)
    try:
        with torch.no_grad():
            attention = capture(model, x)
    except NoAttentionError:
        return
    expected = truths(model)
    for layer in attention.values():
        assert sound(layer, expected, 1e-6), f"{layer.name} has a gate that was not used"
    modules = [layer.module for layer in attention.values()]
    seen = {*modules, *(entry.module for entry in attention.unsupported)}
    assert {"first", "second"} <= {name.split(".")[0] for name in seen}


@pytest.mark.parametrize("name", {**EXACT, **arithmetic.NEVER_WRONG})
def test_maps_of_one_cell_are_never_wrong(name: str) -> None:
    """On 1 x 1 features a channel gate has the features' own shape."""
    model = host({**EXACT, **arithmetic.NEVER_WRONG}[name])
    try:
        with torch.no_grad():
            attention = capture(model, photo(2, 2, 2))
    except NoAttentionError:
        return
    expected = truths(model)
    for layer in attention.values():
        assert sound(layer, expected, 1e-6), f"{layer.name} has a gate that was not used"


@pytest.mark.parametrize("name", EXACT)
def test_later_forwards_are_as_exact(name: str) -> None:
    """What is learnt in the first forward is used for others: other photos, sizes and batches."""
    model = host(EXACT[name])
    for seed, size in enumerate([(2, 24, 20), (2, 24, 20), (1, 32, 28), (3, 24, 20)]):
        x = photo(*size, seed=seed)
        with torch.no_grad():
            attention = capture(model, x)
        assert_exact(attention, truths(ready_again(model, x)))


def ready_again(model: nn.Module, x: Tensor) -> nn.Module:
    """The model with the notes of one plain forward alone."""
    ready(model)
    with torch.no_grad():
        model(x)
    return model


class Moody(Gates):
    """Whether and how the gates act depends on the features and on a number that users change."""

    temperature = 1.0

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel_logits(x).div(self.temperature).sigmoid()
        if x.mean() > 1:
            ca = 1 + ca
        x = ca * x
        sa = self.spatial(x)
        if x.mean() > 4:
            self.note(ca)
            return x
        self.note(ca, sa)
        return x * sa


def test_a_network_that_changes_its_mind() -> None:
    """Other gates for other photos, and an attribute that changes: nothing learnt may be stale."""
    model = host(Moody)
    model.stem.bias.data.fill_(0)
    brightness = (0.1, 5.0, 0.1, 100.0, 1.0, 5.0, 100.0, 0.1)
    for seed, bright in enumerate(brightness):
        model.first.temperature = model.second.temperature = 1.0 + seed // 3
        x = photo(seed=seed).abs() * bright
        with torch.no_grad():
            attention = capture(model, x)
        assert_exact(attention, truths(ready_again(model, x)))


def test_gates_apart_are_layers_of_their_own() -> None:
    """A ReLU between the products: no single M_c and M_s stands for both."""
    model = host(sequential.Unpaired)
    with torch.no_grad():
        attention = capture(model, photo())
    first, second = truths(model).values()
    found = list(attention.values())
    assert [layer.composition for layer in found] == ["channel", "spatial"] * 2
    assert [layer.module.split(".")[0] for layer in found] == ["first"] * 2 + ["second"] * 2
    for truth, (channel, spatial) in ((first, found[:2]), (second, found[2:])):
        assert same(channel.channel, truth.channel)
        assert channel.spatial is None
        assert same(spatial.spatial, truth.spatial)
        assert spatial.channel is None


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", SEVERAL)
def test_two_layers_in_one_forward(name: str, size: tuple[int, int, int]) -> None:
    model = host(SEVERAL[name])
    for seed in (1, 2):
        x = photo(*size, seed=seed)
        with torch.no_grad():
            found = list(capture(model, x).values())
        expected = list(truths(ready_again(model, x)).values())
        assert len(found) == len(expected) == 4
        assert [layer.module.split(".")[0] for layer in found] == ["first"] * 2 + ["second"] * 2
        for layer, truth in zip(found, expected, strict=True):
            assert layer.composition == truth.composition
            assert same(layer.channel, truth.channel)
            assert same(layer.spatial, truth.spatial)


class Wide(Host):
    """A host whose second structure gates what the first one left, with nothing in between."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(self.stem(x))).mean((2, 3)))


@pytest.mark.parametrize("make", [sequential.OneStatement, composition.SpatialFirst])
def test_blocks_in_a_row_are_not_mixed(make: Make) -> None:
    """The second block's products follow directly on the first's."""
    torch.manual_seed(0)
    model = ready(Wide(make))
    with torch.no_grad():
        attention = capture(model, photo())
    assert_exact(attention, truths(model))
