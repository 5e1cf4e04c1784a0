"""The map of all spatial gates: the formula by hand, on networks of two layers."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from cbam_viz import capture
from cbam_viz.attention import Cells
from cbam_viz.errors import MethodError
from cbam_viz.images import Geometry
from cbam_viz.methods import METHODS, method_map
from cbam_viz.render import place
from tests.methods.nets import Linear, picture, ready


class Spatial(nn.Module):
    """x * sigmoid(conv([mean, max])), in plain code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * (4 * self.conv(both)).sigmoid()


class Two(nn.Module):
    """Two gated layers on features of half and of a quarter of the input's size.

    `how` says in which way they follow each other.
    """

    num_classes = 2

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.down = nn.Conv2d(4, 4, 3, stride=1 if how in SAME_SIZE else 2, padding=1)
        self.one, self.two = Spatial(), Spatial()
        self.fc = nn.Linear(8 if how in ("cat", "uneven cat") else 4, 2)
        if how == "uneven cat":
            self.narrow = nn.Conv2d(4, 4, 1)
            self.wide = nn.Conv2d(4, 12, 1)
            self.fc = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.how == "plain":
            x = self.two(self.down(self.one(x).relu()))
        elif self.how == "residual":
            x = x + self.one(x)
            x = self.down(x)
            x += self.two(x)
        elif self.how == "half residual":
            x = self.down(self.one(x))
            x = x + self.two(x.tanh())
        elif self.how == "one branch":
            x = x + self.two(self.down(self.one(x)))
        elif self.how == "two branches":
            x = self.one(x) + self.two(self.down(x))
        elif self.how == "cat":
            x = torch.cat([self.one(x), self.two(self.down(x))], 1)
        elif self.how == "uneven cat":
            x = torch.cat([self.narrow(self.one(x)), self.wide(self.two(self.down(x)))], 1)
        elif self.how == "unused":
            self.one(x)
            x = self.two(self.down(x))
        return self.fc(x.relu().mean((2, 3)))


SAME_SIZE = ("one branch", "two branches", "cat", "uneven cat")
EXPECTED = {
    "plain": lambda one, two: one * two,
    "residual": lambda one, two: (1 + one) / 2 * (1 + two) / 2,
    "half residual": lambda one, two: one * (1 + two) / 2,
    "one branch": lambda one, two: (1 + one * two) / 2,
    "two branches": lambda one, two: (one + two) / 2,
    "cat": lambda one, two: (one + two) / 2,
    "uneven cat": lambda one, two: (4 * one + 12 * two) / 16,
    "unused": lambda one, two: two,
}


def maps_of(model: nn.Module, x: Tensor) -> list[np.ndarray]:
    """Each layer's map on the input's pixels."""
    size = Geometry.of_input((x.shape[2], x.shape[3]))
    return [
        place(layer.spatial[0].numpy(), layer.cells, size).values
        for layer in capture(model, x).values()
    ]


@pytest.mark.parametrize("how", EXPECTED)
def test_two_layers_follow_each_other_as_the_code_has_it(how: str) -> None:
    model, x = ready(lambda: Two(how)), picture(16, 24)
    one, two = maps_of(model, x)
    assert one.std() > 0.01
    assert two.std() > 0.01
    found = method_map(model, x, "", "whole")
    np.testing.assert_allclose(found.values, EXPECTED[how](one, two), atol=2e-6)
    assert found.cells == Cells(1, 1, 0.5, 0.5)
    assert found.settings["layers"] == (["two"] if how == "unused" else ["one", "two"])
    assert found.settings["left out"] == (["one"] if how == "unused" else [])


def test_it_says_what_it_is() -> None:
    found = method_map(ready(lambda: Two("residual")), picture(16, 24), "", "whole")
    assert found.title == "All spatial gates (heuristic)"
    assert found.of == "the spatial maps of 2 layers"
    assert (found.target, found.target_name, found.score) == (None, "", None)
    assert "heuristic" in METHODS["whole"].note
    assert method_map(ready(lambda: Two("unused")), picture(), "", "whole").of == (
        "the one spatial map"
    )


def test_a_resnet_is_the_product_of_its_blocks() -> None:
    torch.manual_seed(0)
    more = {"block_args": {"attn_layer": "cbam"}, "zero_init_last": False, "num_classes": 4}
    model, x = timm.create_model("resnet18", **more).eval(), picture(64, 96)
    expected = np.prod([(1 + one.astype(float)) / 2 for one in maps_of(model, x)], axis=0)
    found = method_map(model, x, "", "whole")
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert len(found.settings["layers"]) == 8


def test_a_network_without_spatial_gates_is_a_sentence() -> None:
    with pytest.raises(MethodError, match="no spatial gate"):
        method_map(Linear().eval(), picture(), "", "whole")
    with pytest.raises(MethodError, match="no spatial gate"):
        method_map(
            timm.create_model("seresnet18", num_classes=2).eval(), picture(64, 64), "", "whole"
        )


def test_gates_whose_way_is_lost_are_a_sentence() -> None:
    class Lost(Two):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(super().forward(x).detach().numpy().copy())

    model, x = ready(lambda: Lost("plain")), picture(16, 24)
    with pytest.raises(MethodError, match="could not be seen"):
        method_map(model, x, "", "whole")


def test_a_gate_that_is_no_number_is_a_sentence() -> None:
    model = ready(lambda: Two("plain"))
    with torch.no_grad():
        model.two.conv.bias.fill_(float("nan"))
    with pytest.raises(MethodError, match="finite"):
        method_map(model, picture(16, 24), "", "whole")
