"""Every number of a walk, computed again from the network's weights; its words and its choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.layers.cbam import CbamModule, LightCbamModule
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.attention import LayerAttention
from cbam_viz.errors import CaptureError
from cbam_viz.gates import capture
from cbam_viz.steps import Step, Walk, walk
from tests.gates.networks import AuthorsCbam, authors_cbam, photos, timm_cbam
from tests.gates.zoo.test_exact import EXACT
from tests.gates.zoo.truth import host, photo
from tests.steps.nets import KINDS, Functional, Residual, TutorialCbam, image, made


def walked(net: nn.Module, x: Tensor, name: str | None = None, **options: object) -> Walk:
    with torch.inference_mode():
        attention = capture(net, x, steps=True)
    return walk(attention[name or [*attention][-1]], net, **options)


def spoilt(net: nn.Module, seed: int = 3) -> nn.Module:
    """BatchNorms as training leaves them: without one, a gate of 0.703 is one of 0.999."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.num_features == 1:
            nn.init.normal_(module.running_mean, 0, 0.5)
            nn.init.uniform_(module.running_var, 0.1, 0.4)
            nn.init.uniform_(module.weight, 1, 3)
            nn.init.normal_(module.bias, 1, 0.5)
    return net


def number_of(found: Walk, gate: str | None, key: str, place: int = 0) -> list[float]:
    steps = [one for one in found.steps if (one.gate, one.key) == (gate, key)]
    return [one.value for one in steps[place].numbers]


def close(found: list[float], expected: list[Tensor]) -> None:
    np.testing.assert_allclose(found, [float(one) for one in expected], rtol=2e-5, atol=2e-6)


def channel_logits(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """From the weights, in whatever module they are: both vectors at each step, and the sum."""
    if isinstance(layer, AuthorsCbam):
        first, second = layer.ChannelGate.mlp[1], layer.ChannelGate.mlp[3]
    elif isinstance(layer, TutorialCbam):
        first, second = layer.one, layer.two
    else:
        first, second = layer.channel.fc1, layer.channel.fc2
    w0, w1 = first.weight.flatten(1), second.weight.flatten(1)
    b0, b1 = (0 if one.bias is None else one.bias for one in (first, second))
    pooled = torch.stack([x[0].mean((1, 2)), x[0].amax((1, 2))])
    if isinstance(layer, LightCbamModule):
        pooled = 0.5 * pooled[:1] + 0.5 * pooled[1:]
    hidden = pooled @ w0.T + b0
    logits = hidden.relu() @ w1.T + b1
    return {"pooled": pooled, "hidden": hidden, "logits": logits, "sum": logits.sum(0)}


def spatial_logits(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The two maps in the order of the filter, the convolution as sums of products, the norm."""
    mean, maximum = x[0].mean(0), x[0].amax(0)
    if isinstance(layer, AuthorsCbam):
        (conv, norm), maps = layer.SpatialGate.spatial, torch.stack([maximum, mean])
    elif isinstance(layer, TutorialCbam):
        conv, norm, maps = layer.around, None, torch.stack([mean, maximum])
    else:
        conv, norm = layer.spatial.conv.conv, layer.spatial.conv.bn
        norm = norm if isinstance(norm, nn.BatchNorm2d) else None
        maps = torch.stack([mean, maximum])
        if isinstance(layer, LightCbamModule):
            maps = (0.5 * mean + 0.5 * maximum)[None]
    padded = F.pad(maps, (3, 3, 3, 3))
    windows = padded.unfold(1, 7, 1).unfold(2, 7, 1)  # (k, h, w, 7, 7)
    summed = torch.einsum("khwij,kij->hw", windows, conv.weight[0])
    if conv.bias is not None:
        summed = summed + conv.bias
    normed = summed
    if norm is not None:
        normed = (summed - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        normed = normed * norm.weight + norm.bias
    return {"maps": maps, "summed": summed, "normed": normed}


def without_norm() -> nn.Module:
    """As after folding the norm into the convolution: there is none to be shown."""
    net = made(Residual, CbamModule(16, rd_ratio=0.25))
    net.attention.spatial.conv.bn = nn.Identity()
    return net


NETS = {
    "timm": (lambda: spoilt(timm_cbam()), "layer2.1.se", 64),
    "timm, light": (lambda: spoilt(timm_cbam("lcbam")), "layer2.1.se", 64),
    "the authors'": (lambda: spoilt(authors_cbam()), "layer2.1.se", 64),
    "a tutorial's": (lambda: made(Residual, TutorialCbam(16)), "attention", 48),
    "timm without a norm": (without_norm, "attention", 48),
}


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_every_number_is_what_the_weights_give(name: str) -> None:
    make, at, size = NETS[name]
    net, x = make(), photos(1, size, size)
    found = walked(net, x, at)
    layer, features = net.get_submodule(at), found.computation.gates[0].features
    c, cell = found.channel, found.cell
    close(number_of(found, None, "features"), [features[0, c][cell]])

    channel = channel_logits(layer, features)
    raw = torch.stack([features[0].mean((1, 2)), features[0].amax((1, 2))])
    close(number_of(found, "channel", "pool places"), list(raw[:, c]))
    unit = next(s for s in found.steps if s.key == "activation").pictures[0].marked
    close(number_of(found, "channel", "dense"), list(channel["hidden"][:, unit]))
    close(number_of(found, "channel", "activation"), list(channel["hidden"][:, unit].relu()))
    close(number_of(found, "channel", "dense", 1), list(channel["logits"][:, c]))
    weight = torch.sigmoid(channel["sum"][c])
    close(number_of(found, "channel", "gate"), [weight])
    assert number_of(found, "channel", "gate") == [float(found.layer.channel[0, c])]

    between = features * torch.sigmoid(channel["sum"])[None, :, None, None]
    close(number_of(found, "channel", "product"), [features[0, c][cell], between[0, c][cell]])

    spatial = spatial_logits(layer, between)
    if not isinstance(layer, LightCbamModule):
        close(number_of(found, "spatial", "concat"), [one[cell] for one in spatial["maps"]])
    close(number_of(found, "spatial", "convolution"), [spatial["summed"][cell]])
    if any(isinstance(one, nn.BatchNorm2d) for one in layer.modules()):
        close(number_of(found, "spatial", "norm"), [spatial["normed"][cell]])
        wrong = torch.sigmoid(spatial["summed"][cell])  # the equation without the norm
        assert abs(float(wrong) - float(found.layer.spatial[0][cell])) > 0.01
    else:
        assert not [step for step in found.steps if step.key == "norm"]
    close(number_of(found, "spatial", "gate"), [torch.sigmoid(spatial["normed"][cell])])
    assert number_of(found, "spatial", "gate") == [float(found.layer.spatial[0][cell])]

    after = between[0, c] * torch.sigmoid(spatial["normed"])
    close(number_of(found, "spatial", "product"), [between[0, c][cell], after[cell]])
    refined, shortcut, total = number_of(found, None, "after")
    assert refined == pytest.approx(float(after[cell]), rel=2e-5, abs=2e-6)
    assert refined + shortcut == pytest.approx(total, abs=1e-6)


def test_the_shortcut_is_the_blocks_input() -> None:
    net, x = made(Residual, TutorialCbam(16)), image()
    found = walked(net, x)
    with torch.no_grad():
        stem = net.stem(x)
    assert number_of(found, None, "after")[1] == pytest.approx(
        float(stem[0, found.channel][found.cell]), abs=1e-6
    )


def test_steps_of_the_paper_in_their_order_with_sizes_and_equations() -> None:
    found = walked(timm_cbam(), photos(1), "layer2.0.se")
    assert [(step.key, step.sizes) for step in found.steps] == [
        ("features", "128 × 8 × 8"),
        ("pool places", "128 × 8 × 8 → 128, twice"),
        ("dense", "128 → 8, twice"),
        ("activation", "8, twice"),
        ("dense", "8 → 128, twice"),
        ("sum", "128"),
        ("gate", "128"),
        ("product", "128 × 8 × 8"),
        ("pool channels", "128 × 8 × 8 → 8 × 8, twice"),
        ("concat", "8 × 8 and 8 × 8 → 2 × 8 × 8"),
        ("convolution", "2 × 8 × 8 → 8 × 8"),
        ("norm", "8 × 8"),
        ("gate", "8 × 8"),
        ("product", "128 × 8 × 8"),
        ("after", "128 × 8 × 8"),
    ]
    formulas = [step.formula for step in found.steps]
    assert "Mc(F) = σ(W0 F_avg" not in formulas
    assert formulas[6] == "Mc(F) = σ(W1 ReLU(W0 F_avg) + W1 ReLU(W0 F_max))"
    assert formulas[12] == "Ms(F′) = σ(BN(f[7 × 7]([F′_avg; F′_max])))"
    assert formulas[7] == "F′ = Mc(F) ⊗ F"
    assert formulas[13] == "F″ = Ms(F′) ⊗ F′"
    assert r"\mathrm{AvgPool}_{\mathrm{places}}" in found.steps[1].equation
    assert r"\mathrm{AvgPool}_{\mathrm{channels}}" in found.steps[8].equation
    assert r"\mathrm{BN}" in found.steps[12].equation
    assert "The reduction ratio is 128 / 8 = 16." in found.steps[2].words
    assert "same weights for both" in found.steps[2].words
    assert all(step.pictures for step in found.steps)


def test_the_authors_filter_takes_the_maximum_first() -> None:
    net = authors_cbam()
    found = walked(net, photos(1), "layer1.0.se")
    step = next(step for step in found.steps if step.key == "convolution")
    assert [one.title for one in step.pictures[:2]] == [
        "Filter for the maximum", "Filter for the mean",
    ]  # fmt: skip
    weight = net.get_submodule("layer1.0.se").SpatialGate.spatial[0].weight
    assert np.array_equal(step.pictures[1].values, weight[0, 1].detach().numpy())
    assert "[F′_max; F′_avg]" in found.steps[-3].formula
    assert "+ b0" in next(step for step in found.steps if step.key == "gate").formula


def test_arithmetic_is_written_with_the_numbers() -> None:
    found = walked(spoilt(timm_cbam()), photos(1), "layer2.0.se")
    norm = next(step for step in found.steps if step.key == "norm")
    layer = timm_bn(found)
    (line,) = norm.arithmetic
    row, column = found.cell
    assert line.startswith(f"Row {row + 1}, column {column + 1}: {layer.weight.item():.3f} × (")
    assert f"√({layer.running_var.item():.3f} + 1.0 × 10⁻⁵)" in line
    gate = [step for step in found.steps if step.key == "gate"][1]
    before = norm.numbers[0].value
    value = 1 / (1 + np.exp(-before))
    assert gate.arithmetic[
        0
    ] == f"Row {row + 1}, column {column + 1}: σ({before:.3f}) = {value:.3f}".replace("-", "−")


def timm_bn(found: Walk) -> nn.Module:
    net = spoilt(timm_cbam())
    return net.get_submodule(found.layer.module).spatial.conv.bn


def marks(step: Step) -> set[object]:
    return {one.marked for one in step.pictures if one.kind in ("map", "channels")}


def test_what_is_followed_is_marked_in_every_picture_and_chosen_for_a_reason() -> None:
    x = photos(1)
    net = timm_cbam()
    largest = walked(net, x, "layer1.0.se", channel="largest")
    weights = largest.layer.channel[0]
    assert largest.channel == int(weights.argmax())
    assert largest.channel_reason.startswith("the channel with the largest weight (weight ")
    assert "rank 1 of 64" in largest.channel_reason
    smallest = walked(net, x, "layer1.0.se", channel="smallest")
    assert smallest.channel == int(weights.argmin())
    taken = walked(net, x, "layer1.0.se")
    features = taken.computation.gates[0].features[0]
    assert taken.channel == int((features.abs().mean((1, 2)) * (1 - weights)).argmax())
    assert taken.channel_reason.startswith("the channel from which its weight takes most")
    own = walked(net, x, "layer1.0.se", channel=5)
    assert own.channel_reason.startswith("chosen by you (weight ")
    peak = divmod(int(own.layer.spatial[0].argmax()), 16)
    assert (own.cell, own.cell_reason) == (peak, "the cell where the map is highest on the photo")
    for step in own.steps:
        assert marks(step) <= {5, own.cell}, step.title
        assert all(one.marked is not None for one in step.pictures if one.kind != "filter")


def test_a_chosen_cell_is_followed_and_said_from_one() -> None:
    net, x = timm_cbam(), photos(1)
    found = walked(net, x, "layer1.0.se", channel=5, cell=(2, 7))
    assert (found.cell, found.cell_reason, found.where) == (
        (2, 7),
        "chosen by you",
        "row 3, column 8",
    )
    features = found.computation.gates[0].features
    assert found.steps[0].numbers[0].value == float(features[0, 5, 2, 7])
    assert found.steps[0].arithmetic[0].startswith("Channel 5, row 3, column 8: ")
    assert {one.marked for one in found.steps[-1].pictures} <= {(2, 7)}
    with pytest.raises(CaptureError, match="no cell \\(2, 16\\)"):
        walked(net, x, "layer1.0.se", cell=(2, 16))


def test_equal_weights_and_cells_are_said_to_be() -> None:
    found = walked(timm_cbam(), photos(1), "layer1.0.se")
    flat = torch.ones_like(found.layer.spatial)
    even = torch.full_like(found.layer.channel, 0.5)
    layer = replace(found.layer, spatial=flat, channel=even)
    again = walk(layer, timm_cbam(), channel="largest")
    assert again.cell_reason == "the first of 256 cells where the map is highest on the photo"
    assert "shared with 63 others" in again.channel_reason


def test_as_many_hidden_units_as_cells_are_no_map() -> None:
    """Sixteen channels, four units and four cells: nothing but the shape tells them apart."""
    for layer in (CbamModule(16, rd_ratio=0.25), TutorialCbam(16)):
        found = walked(made(Residual, layer), image(size=8))
        assert found.computation.gates[0].features.shape == (1, 16, 2, 2)
        steps = [(step.key, step.sizes) for step in found.of("channel")]
        assert steps[1:4] == [
            ("dense", "16 → 4, twice"), ("activation", "4, twice"), ("dense", "4 → 16, twice"),
        ]  # fmt: skip
        assert {one.kind for step in found.of("channel")[:6] for one in step.pictures} == {
            "channels", "units",
        }  # fmt: skip


def test_as_many_channels_as_cells() -> None:
    found = walked(made(Residual, TutorialCbam(16)), image(size=16))
    assert found.computation.gates[0].features.shape == (1, 16, 4, 4)
    kinds = [[one.kind for one in step.pictures if one.kind != "filter"] for step in found.steps]
    assert [set(one) for one in kinds] == [
        {"map"}, {"channels"}, {"units"}, {"units"}, {"channels"}, {"channels"}, {"channels"},
        {"map"}, {"map"}, {"map"}, {"map"}, {"map"}, {"map"}, {"map"},
    ]  # fmt: skip


class SomePlaces(nn.Module):
    """As the authors' network at other sizes than its own: a window that leaves out an edge."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window, self.layer = window, nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, self.window)[:, :, 0, 0]
        return x * torch.sigmoid(self.layer(torch.clamp(pooled, min=0.1)))[:, :, None, None]


def test_a_window_that_leaves_out_places_is_no_mean_of_all() -> None:
    for window, keys in ((12, ["pool places"]), (7, ["other"])):
        found = walked(made(Residual, SomePlaces(window)), image())
        assert found.computation.gates[0].features.shape == (1, 16, 12, 12)
        channel = found.of("channel")
        assert [step.key for step in channel[:1]] == keys
        assert not [step for step in channel if "ReLU" in step.title]  # a clamp at 0.1 is none


@pytest.mark.parametrize("name", EXACT)
def test_any_code_is_walked_with_its_own_gates(name: str) -> None:
    """Seventy ways to write attention: each step is shown or says why not, and gates are exact."""
    net, x = host(EXACT[name]).eval(), photo(1, 24, 20)
    with torch.no_grad():
        attention = capture(net, x, steps=True)
        plain = capture(net, x)
    for layer in attention.values():
        found = walk(layer, net)
        gates = {step.gate: step for step in found.steps if step.key == "gate"}
        for kind in ("channel", "spatial"):
            gate = getattr(layer, kind)
            assert (kind in gates) == (gate is not None)
            if gate is not None:
                assert torch.equal(gate, getattr(plain[layer.name], kind))
                at = found.cell if kind == "spatial" else found.channel
                assert [one.value for one in gates[kind].numbers] == [float(gate[0][at])]
        for step in found.steps:
            assert step.pictures or step.reason or step.key == "after", step.title


@pytest.mark.parametrize("kind", KINDS)
def test_what_gates_multiply_and_what_comes_out(kind: str) -> None:
    net = made(Functional, kind)
    found = walked(net, image())
    products = [step for step in found.steps if step.key == "product"]
    assert len(products) == (1 if kind == "together" else 2)
    c, cell = found.channel, found.cell
    features = found.computation.gates[0].features[0]
    weight = float(found.layer.channel[0, c])
    place = float(found.layer.spatial[0][cell])
    if kind == "together":
        assert "at once" in products[0].words
        assert products[0].numbers[1].value == pytest.approx(
            float(features[c][cell]) * weight * place, abs=1e-6
        )
    if kind == "parallel":
        assert [one.gate for one in products] == ["channel", "spatial"]
        assert products[0].numbers[0] == products[1].numbers[0]  # both act on the layer's input
        assert found.steps[-1].title == "Both results meet"


def test_what_is_added_between_the_gates_is_said() -> None:
    """With the input added behind the first product, the second gate does not see F′."""
    found = walked(made(Functional, "shifted"), image())
    first, second = (step for step in found.steps if step.key == "product")
    assert second.formula == "F″ = Ms(F̃) ⊗ F̃"
    assert "with something added since" in second.words
    features = found.computation.gates[0].features[0, found.channel][found.cell]
    weight = found.layer.channel[0, found.channel]
    assert first.numbers[1].value == pytest.approx(float(features * weight), abs=1e-6)
    assert second.numbers[0].value == pytest.approx(float(features * (1 + weight)), abs=1e-6)


def test_what_is_added_in_the_product_itself_is_said() -> None:
    found = walked(made(Functional, "residual"), image())
    first = next(step for step in found.steps if step.key == "product")
    assert first.formula == "F′ = Mc(F) ⊗ F + A"
    before, after = (one.value for one in first.numbers)
    weight = float(found.layer.channel[0, found.channel])
    assert after == pytest.approx(before * (1 + weight), abs=1e-6)
    told = [f"{one:.3f}".replace("-", "−") for one in (before, weight, before, after)]
    assert first.arithmetic[0].endswith("{} × {} + {} = {}".format(*told))


def test_a_channel_gate_alone_follows_the_strongest_cell() -> None:
    net = spoilt(timm_cbam())
    with torch.inference_mode():
        layer = capture(net, photos(1), steps=True)["layer1.0.se"]
    alone = replace(
        layer,
        spatial=None,
        composition="channel",
        computation=replace(layer.computation, gates=layer.computation.gates[:1]),
    )
    found = walk(alone, net)
    strength = layer.computation.gates[0].features[0, found.channel].abs()
    assert found.cell == divmod(int(strength.argmax()), 16)
    assert found.cell_reason.startswith(f"the cell where channel {found.channel} is strongest")
    assert not [step for step in found.steps if step.gate == "spatial"]


def test_what_cannot_be_walked_says_what_to_do() -> None:
    net = timm_cbam()
    with torch.inference_mode():
        bare = capture(net, photos(1))["layer1.0.se"]
        two = capture(net, photos(2), steps=["layer1.0.se"])
    with pytest.raises(CaptureError, match="steps=True"):
        walk(bare, net)
    with pytest.raises(CaptureError, match="alone"):
        walk(two["layer1.0.se"], net)
    assert two["layer2.0.se"].computation is None  # only the layer that was named
    with pytest.raises(CaptureError, match="0 to 63"):
        walked(net, photos(1), "layer1.0.se", channel=64)


def test_gates_that_are_no_numbers_are_walked_too() -> None:
    net = timm_cbam()
    nn.init.constant_(net.layer1[0].se.channel.fc2.weight, float("nan"))
    found = walked(net, photos(1), "layer1.0.se")
    gate = next(step for step in found.steps if step.key == "gate")
    assert "not a number" in gate.arithmetic[0]
    assert isinstance(found.layer, LayerAttention)


def test_watching_for_steps_changes_no_output_and_no_gate() -> None:
    for net in (timm_cbam(), authors_cbam()):
        x = photos(1)
        with torch.inference_mode():
            output = net(x)
            once, again = capture(net, x, steps=True), capture(net, x)
        assert torch.equal(once.output, output)
        for name, layer in again.items():
            assert torch.equal(layer.channel, once[name].channel)
            assert torch.equal(layer.spatial, once[name].spatial)
            assert layer.computation is None
