"""Which features a layer's map is made of, and where its cells lie."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from cbam_viz import capture
from cbam_viz.attention import Cells
from cbam_viz.errors import MethodError
from cbam_viz.methods import method_map, method_maps
from tests.methods.nets import Gated, Linear, picture, ready


def cbam_resnet() -> nn.Module:
    torch.manual_seed(0)
    more = {"block_args": {"attn_layer": "cbam"}, "zero_init_last": False, "num_classes": 5}
    return timm.create_model("resnet18", **more).eval()


def gradcam_by_hand(network: nn.Module, x: Tensor, module: str, target: int) -> np.ndarray:
    kept: list[Tensor] = []

    def keep(_m: nn.Module, _a: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    handle = network.get_submodule(module).register_forward_hook(keep)
    with torch.enable_grad():
        score = network(x)[0, target]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[-1])
    return (gradient.mean((2, 3), keepdim=True) * kept[-1]).sum(1).relu()[0].detach().numpy()


def test_a_cbam_layer_is_its_gated_features_in_its_own_cells() -> None:
    network, x = cbam_resnet(), picture(96, 128)
    gates = capture(network, x)["layer3.0.se"]
    found = method_map(network, x, "layer3.0.se", "gradcam", 3)
    np.testing.assert_allclose(
        found.values, gradcam_by_hand(network, x, "layer3.0.se", 3), rtol=1e-4, atol=1e-9
    )
    assert found.cells == gates.cells
    assert found.values.shape == gates.spatial.shape[1:]
    assert found.of == "the gated features of layer3.0.se"


def test_a_stage_of_a_network_without_gates_has_the_cells_of_its_strides() -> None:
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=5).eval()
    x = picture(96, 128)
    for name, stride in (("layer2", 8), ("layer4", 32), ("layer4.1.conv1", 32)):
        found = method_map(network, x, name, "gradcam", 1)
        assert found.cells == Cells(stride, stride, 0.5, 0.5)
        np.testing.assert_allclose(
            found.values, gradcam_by_hand(network, x, name, 1), rtol=1e-4, atol=1e-9
        )


def test_cells_of_a_way_that_is_not_known_are_not_exact() -> None:
    class Shuffled(Linear):
        def forward(self, x: Tensor) -> Tensor:
            places = torch.randperm(x[0, 0].numel(), generator=torch.Generator().manual_seed(0))
            return super().forward(x.flatten(2)[:, :, places].view(x.shape))

    assert not method_map(Shuffled().eval(), picture(), "stage", "gradcam", 0).cells.exact


@pytest.mark.parametrize("in_place", [False, True])
def test_gates_inside_a_forward_are_met_where_they_multiply(in_place: bool) -> None:
    network, x = ready(partial(Gated, in_place)), picture(8, 12)
    with torch.no_grad():
        attention = capture(network, x, features=True)
    (name,) = attention
    found = method_map(network, x, name, "gradcam", 1)
    after = attention[name].features.after[0].double().requires_grad_()
    score = network.fc.double()(after.relu().mean((1, 2))[None])[0, 1]
    (gradient,) = torch.autograd.grad(score, after)
    expected = (gradient.mean((1, 2), keepdim=True) * after).sum(0).relu()
    np.testing.assert_allclose(found.values, expected.detach().numpy(), rtol=1e-4, atol=1e-9)
    assert found.cells == attention[name].cells


def test_a_module_that_runs_twice_has_a_map_of_each_call() -> None:
    class Twice(nn.Module):
        num_classes = 2

        def __init__(self) -> None:
            super().__init__()
            from timm.layers.cbam import CbamModule

            self.stem, self.cbam = nn.Conv2d(3, 16, 3, padding=1), CbamModule(16)
            self.fc = nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.cbam(self.cbam(self.stem(x)) * 2).mean((2, 3)))

    network, x = ready(Twice), picture(8, 8)
    features = capture(network, x, features=True)
    found = method_maps(network, x, ["cbam", "cbam#2"], ["eigencam"])
    for one in found:
        matrix = features[one.layer].features.after[0].flatten(1).T.double().numpy()
        first = matrix @ np.linalg.svd(matrix)[2][0]
        np.testing.assert_allclose(
            one.values.ravel(), first * np.sign(first.sum()), rtol=1e-4, atol=1e-6
        )


def test_a_layer_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(MethodError, match=r"no layer 'layer9'.*such as"):
        method_map(cbam_resnet(), picture(64, 64), "layer9", "gradcam", 0)


def test_what_is_no_feature_map_is_a_sentence() -> None:
    with pytest.raises(MethodError, match=r"output of fc is \(1, 2\)"):
        method_map(Linear().eval(), picture(), "fc", "gradcam", 0)


def test_a_layer_that_does_not_run_is_a_sentence() -> None:
    network = Linear()
    network.spare = nn.Identity()
    with pytest.raises(MethodError, match="output of spare did not come by"):
        method_map(network.eval(), picture(), "spare", "gradcam", 0)


def test_a_layer_on_which_the_score_does_not_depend_is_a_sentence() -> None:
    class Aside(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return super().forward(x)

    with pytest.raises(MethodError, match="No gradient of the score reaches"):
        method_map(Aside().eval(), picture(), "aside", "gradcam", 0)


def test_a_network_that_writes_into_what_its_layer_gave_is_refused_rather_than_wrong() -> None:
    class Writes(Linear):
        """The layer gives its input itself, into which is written before the layer's is used."""

        def forward(self, x: Tensor) -> Tensor:
            x = x * 1
            given = self.stage(x)
            x.mul_(2)
            return self.fc(given.mean((2, 3)))

    with pytest.raises(MethodError, match="writes into what a layer has given"):
        method_map(Writes().eval(), picture(), "stage", "gradcam", 0)


def test_a_network_that_overwrites_what_its_gradient_needs_is_a_sentence() -> None:
    class Overwrites(Linear):
        def forward(self, x: Tensor) -> Tensor:
            features = self.stage(x)
            gate = features.sigmoid()
            scaled = features * gate
            gate.mul_(2)
            return self.fc(scaled.mean((2, 3)))

    with pytest.raises(MethodError, match=r"overwrites what its gradient needs"):
        method_map(Overwrites().eval(), picture(), "stage", "gradcam", 0)
    assert method_map(Overwrites().eval(), picture(), "stage", "occlusion", 0).values.any()
