"""One look at a network's modules notices whatever may change what its forward does."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from cbam_viz.gates import capture
from cbam_viz.gates.model.survey import Roll
from cbam_viz.gates.plan.table import table_of
from tests.gates.networks import hooks_of, photos, tiny_cbam


class Pair(nn.Module):
    """Two convolutions, one of which may be missing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.none = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), None
        self.register_module("gone", None)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


def nested() -> nn.Sequential:
    """Modules in lists, in blocks, shared, and a leaf of the user's own."""

    class Leaf(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    torch.manual_seed(0)
    shared = nn.BatchNorm2d(3)
    return nn.Sequential(
        Pair(), nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared), nn.Sequential(), Leaf()
    ).eval()


def move(net: Any) -> None:
    """From the end of one list to the beginning of the next, under the same name."""
    net[1].add_module("x", nn.ReLU())
    moved = net[1]._modules.pop("x")
    net[2]._modules = {"x": moved, **net[2]._modules}


STRUCTURE: dict[str, Callable[[Any], Any]] = {
    "replaced": lambda net: setattr(net[0], "a", nn.Conv2d(3, 3, 1)),
    "replaced by its copy": lambda net: setattr(net[0], "b", copy.deepcopy(net[0].b)),
    "removed": lambda net: delattr(net[0], "b"),
    "added": lambda net: net[1].append(nn.ReLU()),
    "added to an empty list": lambda net: net[3].append(nn.ReLU()),
    "added to a leaf": lambda net: net[4].add_module("more", nn.ReLU()),
    "in place of none": lambda net: setattr(net[0], "gone", nn.ReLU()),
    "none in its place": lambda net: setattr(net[0], "b", None),
    "exchanged": lambda net: net[0]._modules.update(a=net[0].b, b=net[0].a),
    "renamed": lambda net: net[0].add_module("c", net[0]._modules.pop("b")),
    "shared no more": lambda net: net[2].__setitem__(0, nn.BatchNorm2d(3)),
    "moved": move,
    "forward replaced": lambda net: setattr(net[0].a, "forward", lambda x: x),
    "forward of a leaf": lambda net: setattr(net[1][1], "forward", lambda x: x),
    "forward of the model": lambda net: setattr(net, "forward", lambda x: x),
    "compiled": lambda net: net[0].b.compile(backend="eager"),
    "the model compiled": lambda net: net.compile(backend="eager"),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_other_modules_or_other_code(name: str) -> None:
    net = nested()
    roll = Roll(net)
    assert roll.look() is not None
    assert roll.look() == roll.look()
    STRUCTURE[name](net)
    assert roll.look() is None
    seen = Roll(net).look()
    assert seen is not None
    assert seen.put_on[0] is net


@pytest.mark.parametrize("path", ["", "0", "0.a", "1.0", "1.1", "4"])
def test_modes_and_hooks_of_every_module(path: str) -> None:
    net = nested()
    roll, module = Roll(net), net.get_submodule(path)
    before = roll.look()
    assert before is not None
    assert before.put_on == (net,)
    assert not any(before.training)
    module.training = True
    seen = roll.look()
    assert seen is not None
    assert seen.training.count(True) == 1
    module.training = False
    for register in (module.register_forward_hook, module.register_forward_pre_hook):
        handle = register(lambda *_: None)
        hooked = roll.look()
        assert hooked is not None
        assert set(hooked.put_on) == {net, module}
        handle.remove()
        assert roll.look() == before


def test_forwards_that_are_replaced_already_and_come_back() -> None:
    net = nested()
    net[0].a.forward = lambda x: x
    roll = Roll(net)
    seen = roll.look()
    assert seen is not None
    assert seen.put_on == (net, net[0].a)
    del net[0].a.forward
    assert roll.look() is None
    net[0].b.forward = lambda x: x  # another one, and as many
    assert roll.look() is None


@pytest.mark.parametrize("kind", [nn.Conv2d, Pair])
def test_code_of_classes(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another forward of a class is noticed, and that the first one is back, by a new roll."""
    net = nested()
    roll = Roll(net)
    assert roll.look() is not None
    with monkeypatch.context() as patch:
        patch.setattr(kind, "forward", lambda self, x: x)
        assert roll.look() is None
        changed = Roll(net)
        assert changed.look() is not None
    assert changed.look() is None
    assert roll.look() is not None


def test_scripts_are_looked_at_as_one() -> None:
    net = nn.Sequential(torch.jit.script(Pair()), nn.ReLU()).eval()
    roll = Roll(net)
    before = roll.look()
    assert before is not None
    assert not any(before.training)
    net[0].a.train()
    trained = roll.look()
    assert trained is not None
    assert any(trained.training)
    net[0] = torch.jit.script(Pair())
    assert roll.look() is None


def test_a_compiled_network_has_its_mode_from_the_one_inside() -> None:
    inner = nested()
    net: Any = torch.compile(inner, backend="eager")
    roll = Roll(net)
    before = roll.look()
    assert before is not None
    assert not any(before.training)
    inner.training = True
    trained = roll.look()
    assert trained is not None
    assert any(trained.training)


def test_nothing_is_kept_alive() -> None:
    net = nested()
    net[0].mine = net.forward  # leads back to the whole
    roll = Roll(net)
    there = [weakref.ref(one) for one in (net, net[0], net[0].a, net[1][0])]
    del net
    gc.collect()
    assert [one() for one in there] == [None] * 4
    assert roll.look() is None


INSIDE: dict[str, Callable[[Any], Any]] = {
    "gate of another class": lambda layer: setattr(layer.channel, "gate", nn.Tanh()),
    "map's gate": lambda layer: setattr(layer.spatial, "gate", nn.Hardsigmoid()),
    "half": lambda layer: setattr(layer, "channel", nn.Identity()),
    "linear layer": lambda layer: setattr(layer.channel, "fc1", nn.Conv2d(16, 1, 1, bias=False)),
}


@pytest.mark.parametrize("name", INSIDE)
def test_parts_of_known_layers_that_are_replaced(name: str) -> None:
    """Between two captures: the second shows what a network made so shows."""
    model: Any = tiny_cbam()
    with torch.no_grad():
        for _ in range(2):
            capture(model, photos(1))
        torch.manual_seed(1)
        INSIDE[name](model.layer2)
        found = [capture(model, photos(1)) for _ in range(2)]
        expected = capture(copy.deepcopy(model), photos(1))
    for one in found:
        assert list(one) == list(expected)
        assert torch.equal(one.output, expected.output)
        for layer, wanted in zip(one.values(), expected.values(), strict=True):
            for gate in ("channel", "spatial"):
                mine, other = getattr(layer, gate), getattr(wanted, gate)
                assert (mine is None) == (other is None)
                assert mine is None or torch.equal(mine, other)
            assert layer.verified == wanted.verified
    assert hooks_of(model) == 0


def test_statistics_inside_known_layers_keep_their_mode() -> None:
    """A BatchNorm that alone is in train mode is put back as any other."""
    model: Any = tiny_cbam()
    norm = next(m for m in model.layer2.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        capture(model, photos())
        norm.train()
        kept = norm.running_mean.clone()
        seen = table_of(model)[1]
        capture(model, photos())
    assert any(seen.training)
    assert torch.equal(norm.running_mean, kept)
    assert isinstance(model.layer2, CbamModule)
