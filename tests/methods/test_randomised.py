from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_viz import capture
from cbam_viz.errors import MethodError
from cbam_viz.methods import method_map, randomised
from tests.methods.nets import Gated, picture, ready


class Chain(nn.Module):
    """Three convolutions of one kernel each, one after the other, then a linear head."""

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)  # first by registration, last to run
        self.one, self.two = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 4, 3, bias=False)
        self.three = nn.Conv2d(4, 4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.three(self.two(self.one(x)).relu()).relu().mean((2, 3)))


def test_parts_are_randomised_from_the_last_that_ran_and_stay_so() -> None:
    network, x = ready(Chain), picture(12, 12)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    seen: list[dict[str, Tensor]] = []

    def make(one: nn.Module) -> np.ndarray:
        seen.append({name: value.clone() for name, value in one.state_dict().items()})
        return method_map(one, x, "two", "gradcam", 0).values

    found = randomised(network, make, by="layer")
    assert [one.part for one in found] == ["fc", "three", "two", "one"]
    changed = [
        {name for name in state if not torch.equal(made[name], state[name])} for made in seen
    ]
    assert changed == [
        set(),
        {"fc.weight", "fc.bias"},
        {"fc.weight", "fc.bias", "three.weight"},
        {"fc.weight", "fc.bias", "three.weight", "two.weight"},
        {"fc.weight", "fc.bias", "three.weight", "two.weight", "one.weight"},
    ]
    for name, value in seen[-1].items():  # the same values in another order
        assert torch.equal(value.flatten().sort().values, state[name].flatten().sort().values)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_each_alone_starts_anew() -> None:
    network, x = ready(Chain), picture(12, 12)
    together = randomised(network, lambda one: _map(one, x), by="layer")
    alone = randomised(network, lambda one: _map(one, x), "each alone", by="layer")
    assert alone[0] == together[0]
    # What comes after the layer changes the gradient, so the map; for EigenCAM it does not.
    eigen = randomised(
        network,
        lambda one: method_map(one, x, "two", "eigencam").values,
        "each alone",
        by="layer",
    )
    assert {one.part for one in eigen if one.spearman == pytest.approx(1)} == {"fc", "three"}


def _map(network: nn.Module, x: Tensor) -> np.ndarray:
    return method_map(network, x, "two", "gradcam", 0).values


def test_a_map_that_does_not_depend_on_weights_stays_the_same() -> None:
    ramp = np.arange(12.0).reshape(3, 4)

    def make(one: nn.Module) -> np.ndarray:
        one(picture(12, 12))
        return ramp

    found = randomised(ready(Chain), make)
    assert [one.spearman for one in found] == [pytest.approx(1)] * len(found)
    assert all(one.changed > 0 for one in found if one.part != "")


def test_gates_do_not_depend_on_what_comes_after_them() -> None:
    network, x = ready(Gated), picture(16, 16)
    (name,) = capture(network, x)
    found = randomised(
        network, lambda one: capture(one, x)[name].spatial[0].numpy(), "each alone", by="layer"
    )
    by_part = {one.part: one.spearman for one in found}
    assert by_part["fc"] == pytest.approx(1)
    assert by_part["stem"] < 0.99
    assert by_part["conv"] < 0.99


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    network, x = ready(Chain), picture(12, 12)
    one, two, three = (randomised(network, lambda n: _map(n, x), seed=s) for s in (0, 0, 1))
    assert one == two
    assert one != three


def test_a_network_without_parameters_is_a_sentence() -> None:
    with pytest.raises(MethodError, match="no parameters"):
        randomised(nn.Identity().eval(), lambda one: np.ones((2, 2)))
