"""Networks of other people's making: names, extras, what is reported, and what users get wrong."""

from __future__ import annotations

import ctypes

import pytest
import torch
from timm.layers.cbam import CbamModule, SpatialAttn
from torch import Tensor, nn

from cbam_viz import CaptureError, NoAttentionError
from cbam_viz.gates import Capture, capture, find_cbam_layers
from cbam_viz.gates.model.names import stage_of

from .networks import (
    AuthorsCbam,
    authors_cbam,
    hooks_of,
    multiplied,
    photos,
    same_layers,
    timm_cbam,
    tiny_authors,
)


def test_authors_structure_from_the_weights() -> None:
    model = authors_cbam()
    with torch.no_grad():
        attention = capture(model, photos(), features=True, branches=True, descriptors=True)
        for name, layer in attention.items():
            module, x = model.get_submodule(name), layer.features.before
            average = module.ChannelGate.mlp(x.mean((2, 3), keepdim=True))
            maximum = module.ChannelGate.mlp(x.amax((2, 3), keepdim=True))
            channel = torch.sigmoid(average + maximum)
            refined = x * channel[:, :, None, None]
            maps = torch.stack([refined.amax(1), refined.mean(1)], 1)
            spatial = torch.sigmoid(module.SpatialGate.spatial(maps))[:, 0]
            assert torch.allclose(layer.branches.average, average, atol=1e-6)
            assert torch.allclose(layer.branches.maximum, maximum, atol=1e-6)
            assert torch.equal(layer.descriptors.mean, layer.features.between.mean(1))
            assert torch.equal(layer.descriptors.maximum, layer.features.between.amax(1))
            assert torch.allclose(layer.channel, channel, atol=1e-6)
            assert torch.allclose(layer.spatial, spatial, atol=1e-6)
            assert torch.equal(multiplied(layer), layer.features.after)
            assert layer.found_by == "watch"
            assert layer.verified


@pytest.mark.parametrize("make", [authors_cbam, timm_cbam])
def test_each_layer_knows_the_weights_that_make_its_gates(make: type) -> None:
    """Those of its own module, all of them, and none of another; later forwards say the same."""
    model = make()
    names = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
    with torch.no_grad():
        for _ in range(2):
            for name, layer in capture(model, photos()).items():
                own = {one for one in names if one.startswith(name + ".")}
                assert set(layer.weights) <= own
                missing = own - set(layer.weights)
                assert all(one.split(".")[-1].startswith(("num_", "running_")) for one in missing)


def test_hooks_alone_give_what_watching_gave() -> None:
    """From the second capture on nothing is watched, on images never seen."""
    model, other = authors_cbam(), authors_cbam()
    with torch.no_grad():
        capture(model, photos(seed=1))
        for seed in (2, 3):
            assert same_layers(
                capture(model, photos(seed=seed)), capture(other, photos(seed=seed), features=True)
            )


def test_weights_that_change_are_followed() -> None:
    """Training goes on between two captures."""
    model = tiny_authors()
    with torch.no_grad():
        first = capture(model, photos())
        for parameter in model.parameters():
            parameter.add_(0.05)
        later, fresh = capture(model, photos()), capture(model, photos(), features=True)
    assert same_layers(later, fresh)
    assert not torch.equal(later["layer1"].channel, first["layer1"].channel)


class Moody(nn.Module):
    """Does something else with the same gates when a switch is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.squash, self.factor = nn.Conv2d(3, 3, 1), nn.Sigmoid(), 1.0
        self.rest = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.squash(self.gate(x.mean((2, 3), keepdim=True)))
        return self.rest(x * (gate * self.factor))


def test_another_way_through_the_network_is_noticed() -> None:
    model = nn.Sequential(Moody()).eval()
    with torch.no_grad():
        for factor in (1.0, 1.0, 2.0, 2.0, 3.0, 1.0):
            model[0].factor = factor
            attention = capture(model, photos())
            x = photos().mean((2, 3), keepdim=True)
            expected = torch.sigmoid(model[0].gate(x)) * factor
            assert torch.equal(attention["0"].channel, expected.flatten(1))


def test_another_way_inside_a_block_is_watched_again() -> None:
    """The user's own forward and its output stay; a second run gives the same gates."""
    model = nn.Sequential(Moody()).eval()
    with torch.no_grad():
        capture(model, photos())
        model[0].factor = 2.0
        with Capture(model) as recorder:
            output = model(photos())
        x = photos().mean((2, 3), keepdim=True)
        expected = torch.sigmoid(model[0].gate(x)) * 2.0
        assert torch.equal(output, model(photos()))
    (attention,) = recorder.results
    assert torch.equal(attention["0"].channel, expected.flatten(1))
    assert attention.output is output
    assert hooks_of(model) == 0


FACTOR = ctypes.c_double(1.0)
"""In C's memory, where nothing that code names is seen to change."""


class Counting(Moody):
    """Keeps from forward to forward what its gates depend on, where no module has it."""

    @property
    def factor(self) -> float:
        return FACTOR.value

    @factor.setter
    def factor(self, factor: float) -> None:
        FACTOR.value = factor

    def forward(self, x: Tensor) -> Tensor:
        self.factor *= 2
        return super().forward(x)


def test_what_a_second_run_does_not_give_again_is_an_error_that_says_so() -> None:
    model = nn.Sequential(Counting()).eval()
    with torch.no_grad():
        capture(model, photos())
        recorder = Capture(model)
        with pytest.raises(CaptureError, match="Capture this forward again"), recorder:
            model(photos())
        assert recorder.results == []
        with Capture(model) as recorder:
            output = model(photos())
        x = photos().mean((2, 3), keepdim=True)
        expected = torch.sigmoid(model[0].gate(x)) * model[0].factor
    assert torch.equal(recorder.results[0]["0"].channel, expected.flatten(1))
    assert recorder.results[0].output is output
    assert hooks_of(model) == 0


class Uncalled(nn.Module):
    """Owns three attention layers and calls one."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare, self.other = CbamModule(3), CbamModule(3), AuthorsCbam(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_layers_never_called_are_named() -> None:
    with torch.no_grad():
        model = Uncalled().eval()
        for _ in range(2):
            attention = capture(model, photos())
            assert list(attention) == ["used"]
            assert attention.not_called == ("spare", "other")
        model.forward = nn.Identity().forward
        with pytest.raises(CaptureError, match=r"None .* ran .*: used, spare, other\."):
            capture(model, photos())


def test_a_layer_called_twice_has_two_results() -> None:
    class Shared(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.stem, self.layer = nn.Conv2d(3, 16, 3, padding=1), layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.relu(self.layer(self.stem(x))[..., ::2, ::2]))

    for layer in (CbamModule(16), AuthorsCbam(16)):
        model = Shared(layer).eval()
        with torch.no_grad():
            for _ in range(2):
                attention = capture(model, photos(), features=True)
                assert list(attention) == ["layer", "layer#2"]
                assert [one.call for one in attention.calls("layer")] == [1, 2]
                for one in attention.values():
                    assert torch.equal(multiplied(one), one.features.after)
                assert attention["layer"].cells.stride_y == 1
                assert attention["layer#2"].cells.stride_y == 2


def test_two_layers_sharing_one_gate_module() -> None:
    """A hook on the shared sigmoid could not tell them apart."""
    model = nn.Sequential(CbamModule(3), nn.Conv2d(3, 3, 3), CbamModule(3)).eval()
    model[2].channel.gate = model[2].spatial.gate = model[0].channel.gate
    with torch.no_grad():
        for _ in range(2):
            attention = capture(model, photos(), features=True)
            assert list(attention) == ["0", "2"]
            for layer in attention.values():
                assert torch.equal(multiplied(layer), layer.features.after)


def test_a_half_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), SpatialAttn(7)).eval()
    with torch.no_grad():
        layer = capture(model, photos())["1"]
    assert layer.channel is None
    assert layer.composition == "spatial"
    assert layer.spatial.shape == (2, 64, 64)


def test_a_network_without_attention() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(NoAttentionError, match=r"create_model.*insert_cbam"):
        capture(model, photos())
    assert hooks_of(model) == 0
    assert find_cbam_layers(model) == []


def test_finding_layers_of_unknown_classes_changes_nothing() -> None:
    model = tiny_authors().train()
    kept = [buffer.clone() for buffer in model.buffers()]
    state = torch.random.get_rng_state()
    assert find_cbam_layers(model) == ["layer1", "layer2", "layer3"]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(map(torch.equal, kept, model.buffers()))
    assert model.training


def test_finding_layers_needs_an_input_that_fits() -> None:
    class TwoInputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = AuthorsCbam(16)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.layer(x + y)

    with pytest.raises(CaptureError, match=r"find_cbam_layers\(model, x\)"):
        find_cbam_layers(TwoInputs())
    x = torch.randn(1, 16, 8, 8)
    assert find_cbam_layers(TwoInputs().eval(), x, x) == ["layer"]
    with pytest.raises(CaptureError, match="not int"):
        find_cbam_layers(3)


def test_errors_of_the_network_stay_its_own() -> None:
    model = timm_cbam()
    with pytest.raises(RuntimeError, match="channels"):
        capture(model, torch.rand(1, 5, 64, 64))
    assert hooks_of(model) == 0


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("layer3.0.se", "layer3"),
        ("layer3.0.se#2", "layer3"),
        ("blocks.2.0.se", "blocks.2"),
        ("stages.1.blocks.0.attn", "stages.1"),
        ("backbone.layer4.1.cbam", "backbone.layer4"),
        ("stages.1.cbam", "stages.1"),
        ("blocks.5.cbam", "blocks.5"),
        ("layer1.cbam", "layer1"),
        ("layer1.0.cbam", "layer1"),
        ("layer1.0.convs.5", "layer1"),
        ("backbone.layer4.cbam", "backbone.layer4"),
        ("1.layer2.0.se", "1.layer2"),
        ("1.stages.2.blocks.0.se", "1.stages.2"),
        ("stage2.0.branches.1.0.se", "stage2"),
        ("backbone.s1.b1.se", "backbone.s1"),
        ("model.9", "model"),
        ("0", "0"),
        ("model", "model"),
    ],
)
def test_stages(name: str, stage: str) -> None:
    assert stage_of(name) == stage
