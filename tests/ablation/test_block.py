"""The block itself: whose forwards it touches, what it leaves, what it refuses in words."""

from __future__ import annotations

import copy
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

import cbam_viz
from cbam_viz.ablation import Channels, Constant, Painted, Shuffled, ablate
from cbam_viz.errors import CaptureError, NoAttentionError
from cbam_viz.gates import capture
from cbam_viz.gates.plan.table import table_of
from tests.gates.networks import authors_cbam, buffers, hooks_of, photos, timm_cbam
from tests.gates.zoo import sequential, unsupported
from tests.gates.zoo.test_exact import Moody
from tests.gates.zoo.test_hosts import WRAPPED as HOSTS
from tests.gates.zoo.test_hosts import Eightfold, Idle, ScriptableHost, as_script, compiled
from tests.gates.zoo.truth import host, photo, ready

MAKERS = pytest.mark.parametrize("make", [timm_cbam, authors_cbam])


def without(net: nn.Module, x: Tensor, gates: dict) -> Tensor:
    with torch.no_grad(), ablate(net, gates):
        return net(x)


@MAKERS
def test_names_patterns_and_stages(make) -> None:
    net, x = make(), photos(1)
    names = [f"layer3.{k}.se" for k in (0, 1)]
    by_name = without(net, x, {name: {"spatial": "zero"} for name in names})
    assert torch.equal(without(net, x, {"layer3": {"spatial": 0}}), by_name)
    assert torch.equal(without(net, x, {"layer3.*": {"spatial": 0.0}}), by_name)
    last = without(net, x, {"*": "one", "layer3": {"spatial": "zero"}})
    whole = {f"layer{k}": "one" for k in (1, 2, 4)} | {"layer3": {"channel": 1, "spatial": 0}}
    assert torch.equal(last, without(net, x, whole))


@MAKERS
def test_each_replacement_is_what_acts(make) -> None:
    net, x = make(), photos(3)
    with torch.no_grad():
        own = capture(net, x)["layer4.0.se"]
    channels, (rows, columns) = own.channel.shape[1], own.spatial.shape[1:]
    mask = torch.zeros(rows, columns)
    mask[0, 0], mask[1, 1] = 1, 0.5
    painted = own.spatial.clone()
    painted[:, 0, 0] = 0.9
    painted[:, 1, 1] = own.spatial[:, 1, 1] * 0.5 + 0.45
    one = own.channel.clone()
    one[:, [3, 5]] = 1.0
    array = np.linspace(0, 1, channels)
    wishes = {
        "channel": {
            "mean": own.channel.mean(1, keepdim=True).expand(-1, channels),
            0.25: torch.full_like(own.channel, 0.25),
            "array": torch.from_numpy(array).float().expand(3, -1),
            Channels((3, 5), Constant(1.0)): one,
        },
        "spatial": {
            "mean": own.spatial.mean((1, 2), keepdim=True).expand(-1, rows, columns),
            Painted(mask, 0.9): painted,
            partial(torch.pow, exponent=2): own.spatial**2,
        },
    }
    for kind, chosen in wishes.items():
        for wish, expected in chosen.items():
            wanted = array if isinstance(wish, str) and wish == "array" else wish
            with torch.no_grad(), ablate(net, {"layer4.0.se": {kind: wanted}}) as block:
                net(x)
            acted = block.acted["layer4.0.se", kind]
            torch.testing.assert_close(acted, expected, rtol=0, atol=1e-6)


def test_shuffling_keeps_the_values() -> None:
    net, x = timm_cbam(), photos(4)
    with torch.no_grad():
        own = capture(net, x)["layer2.0.se"]
    found = {}
    for over in (None, "photos"):
        for kind in ("channel", "spatial"):
            with torch.no_grad(), ablate(net, {"layer2.0.se": {kind: Shuffled(over, 3)}}) as block:
                first = net(x)
                assert torch.equal(net(x), first)
            found[over, kind] = block.acted["layer2.0.se", kind].flatten(1)
    for kind, gate in (("channel", own.channel), ("spatial", own.spatial.flatten(1))):
        inside = found[None, kind]
        assert torch.equal(inside.sort(1).values, gate.sort(1).values)
        assert not torch.equal(inside, gate)
        across = found["photos", kind]
        rows = {tuple(row) for row in across.tolist()}
        assert rows == {tuple(row) for row in gate.tolist()}
        assert not any(torch.equal(a, b) for a, b in zip(across, gate, strict=True))


def test_later_layers_see_what_acted() -> None:
    net, x = authors_cbam(), photos(1)
    with torch.no_grad():
        plain = capture(net, x)
        with ablate(net, {"layer2": {"spatial": "zero"}}) as block:
            found = block.capture(x)
            output = net(x)
        again = capture(net, x)
    assert torch.equal(found.output, output)
    assert not found["layer2.0.se"].spatial.any()
    assert torch.equal(found["layer1.0.se"].spatial, plain["layer1.0.se"].spatial)
    assert not torch.equal(found["layer3.0.se"].spatial, plain["layer3.0.se"].spatial)
    assert all(layer.verified for layer in found.values())
    assert all(torch.equal(again[n].spatial, plain[n].spatial) for n in plain)


@MAKERS
def test_a_capture_learns_nothing_from_an_ablated_forward(make) -> None:
    net, x = make(), photos(1)
    with torch.no_grad():
        for _ in range(4):
            with ablate(net, {"*": "zero"}):
                capture(net, x)
        capture(net, x)
        table, _ = table_of(net)
        assert not table.fickle
        assert all(plan.quick for plan in table._plans.values())


def test_blocks_in_blocks() -> None:
    net, x = timm_cbam(), photos(1)
    both = without(net, x, {"layer1": "zero", "layer2": "mean"})
    with torch.no_grad(), ablate(net, {"layer1": "zero", "layer2": "zero"}):
        outer = net(x)
        with ablate(net, {"layer2": "mean"}):
            assert torch.equal(net(x), both)
        assert torch.equal(net(x), outer)
    with torch.no_grad(), ablate(net.layer1, {"*": "zero"}), ablate(net, {"layer2": "mean"}):
        assert torch.equal(net(x), both)


def test_threads_do_not_meet() -> None:
    net, x = authors_cbam(), photos(1)
    wishes = [{"layer1": "zero"}, {"layer2": "mean"}, {"layer3": {"spatial": "one"}}, None]
    expected = [net(x).detach() if w is None else without(authors_cbam(), x, w) for w in wishes]
    start = threading.Barrier(4)

    def work(k: int) -> bool:
        start.wait()
        with torch.no_grad():
            found = [net(x) if wishes[k] is None else without(net, x, wishes[k]) for _ in range(5)]
        return all(torch.equal(one, expected[k]) for one in found)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert hooks_of(net) == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_middle_leaves_nothing(error: type[BaseException]) -> None:
    net, x = authors_cbam(), photos(1)
    with torch.no_grad():
        output = net(x)
    for known in (False, True):
        if known:
            without(net, x, {"layer1": "one"})
        bomb = net.layer3[0].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(error()))
        with pytest.raises(error), ablate(net, {"layer1": "one"}):
            net(x)
        bomb.remove()
        assert hooks_of(net) == 0
        assert _get_current_dispatch_mode_stack() == []
        assert torch.is_grad_enabled()
        with torch.no_grad():
            assert torch.equal(net(x), output)
    bomb = net.layer3[0].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(ValueError()))
    with torch.no_grad(), ablate(net, {"layer1": "one"}):
        with pytest.raises(ValueError):  # noqa: PT011
            net(x)
        bomb.remove()
        net(x)  # the block goes on


def test_train_mode_leaves_buffers_and_random_numbers() -> None:
    net, x = timm_cbam(), photos(2)
    net.train()
    kept = [buffer.clone() for buffer in buffers(net)]
    before = torch.get_rng_state()
    with ablate(net, {"layer4": "one"}):
        output = net(x)
    assert all(torch.equal(a, b) for a, b in zip(buffers(net), kept, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert not output.requires_grad


class Drawn(nn.Module):
    """Draws random numbers in front of its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = timm_cbam().layer1[0].se

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + torch.randn_like(x)).mean((2, 3))


def test_a_network_of_chance_draws_as_it_would() -> None:
    net, x = Drawn().eval(), torch.randn(1, 64, 8, 8)
    torch.manual_seed(3)
    with torch.no_grad():
        output = net(x)
    torch.manual_seed(3)
    with torch.no_grad(), ablate(net, {"*": lambda gate: gate}):
        assert torch.equal(net(x), output)


def test_a_network_that_reads_numbers_is_followed() -> None:
    net, other = host(Moody), host(Moody)
    for model in (net, other):
        model.stem.bias.data.fill_(0)
    for seed, bright in enumerate((0.1, 5.0, 100.0, 0.1)):
        x = photo(seed=seed).abs() * bright
        with torch.no_grad():
            output, attention = net(x), capture(net, x)
            own = {n: {"channel": layer.channel} for n, layer in attention.items()}
            with ablate(net, own):
                assert torch.equal(net(x), output)


@pytest.mark.parametrize("wrap", HOSTS)
def test_scripted_traced_compiled(wrap) -> None:
    torch.manual_seed(0)
    plain, x = ScriptableHost().eval(), photo()
    with torch.no_grad():
        net = wrap(copy.deepcopy(plain))
        output = net(x)
        with ablate(net, {"*": "one"}) as block:
            found = block(x)
        with ablate(net, {"*": lambda gate: gate}) as block:
            assert torch.equal(block(x), output) or wrap is compiled
        assert not torch.equal(found, output)
        assert torch.equal(net(x), output)


def test_script_called_itself_is_not_silent() -> None:
    net = as_script(ScriptableHost().eval())
    with pytest.raises(CaptureError, match="as the block's target"), ablate(net, {"*": "one"}):
        net(photo())


def test_gradients_of_replaced_gates_are_not_given() -> None:
    net, x = timm_cbam(), photos(1).requires_grad_()
    with ablate(net, {"layer4": "one"}):
        output = net(x)
    with pytest.raises(RuntimeError, match="does not require grad"):
        output.sum().backward()


def test_one_module_of_many_calls() -> None:
    torch.manual_seed(0)
    net, x = ready(Eightfold()), photo()
    with torch.no_grad():
        plain = net(x)
        with ablate(net, {"shared#3": {"spatial": "zero"}}):
            found = net(x)
    assert [torch.equal(a, b) for a, b in zip(plain, found, strict=True)] == [True] * 2 + [
        False
    ] + [True] * 5


REFUSED = {
    "no such layer": (timm_cbam, {"layer9": "one"}, "no layer 'layer9'.*layer4.1.se"),
    "no such gate": (
        lambda: host(sequential.Unpaired),
        {"first.conv": {"channel": "one"}},
        "no channel gate",
    ),
    "no such kind": (timm_cbam, {"layer1": {"depth": 1}}, "'channel' or 'spatial'"),
    "another shape": (
        timm_cbam,
        {"layer1.0.se": {"channel": [0.5, 0.5]}},
        "The values are 2, and this gate has 64 channels",
    ),
    "a mask of another shape": (
        timm_cbam,
        {"layer1.0.se": {"spatial": Painted(torch.ones(3, 3), 1)}},
        "mask is 3 × 3, and this gate has 16 × 16 rows and columns",
    ),
    "positions of channels": (
        timm_cbam,
        {"layer1": {"channel": Shuffled("positions")}},
        "no positions",
    ),
    "no such channel": (
        timm_cbam,
        {"layer1.0.se": {"channel": Channels((64,), Constant(0))}},
        "no channel 64",
    ),
    "a dense gate": (
        lambda: host(unsupported.DenseGate),
        {"first": "one"},
        "first cannot be replaced: a dense gate",
    ),
    "asleep": (lambda: ready(Idle()), {"spare_cbam": "one"}, "did not run"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_replaced_is_said(what: str) -> None:
    make, gates, text = REFUSED[what]
    net = make()
    x = photos(1) if hasattr(net, "layer1") else photo()
    with pytest.raises(CaptureError, match=text), torch.no_grad(), ablate(net, gates):
        net(x)
    assert hooks_of(net) == 0


def test_a_network_without_gates() -> None:
    with pytest.raises(NoAttentionError), ablate(nn.Conv2d(3, 4, 3), {"*": "one"}) as block:
        block(photo())


def test_attention_that_a_pattern_leaves_out_is_told() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.one, self.two = sequential.OneStatement(8), unsupported.DenseGate(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.relu(self.one(self.stem(x))))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        without(ready(Both()), photo(), {"*": "one"})
    assert "two (a dense gate" in str(caught[0].message)


def test_a_block_without_a_forward_is_an_error() -> None:
    net, x = timm_cbam(), photos(1)
    with pytest.raises(CaptureError, match="No forward"), ablate(net, {"layer1": "one"}):
        pass
    with pytest.raises(CaptureError, match="No forward"), ablate(net, {"layer1": "one"}):
        copy.deepcopy(net)(x)


def test_public_names() -> None:
    assert cbam_viz.ablate is ablate


def test_a_forward_in_an_inner_block_is_one_in_the_outer_too() -> None:
    """The wishes of both held in it, so that the outer one has nothing to complain of."""
    torch.manual_seed(0)
    net = cbam_viz.create_model("resnet10t", num_classes=3).eval()
    x = torch.randn(1, 3, 64, 64)
    channel, spatial = {"layer4": {"channel": "one"}}, {"layer4": {"spatial": "one"}}
    with cbam_viz.ablate(net, channel) as outer, cbam_viz.ablate(net, spatial), torch.no_grad():
        nested = net(x)
    with cbam_viz.ablate(net, {"layer4": "one"}), torch.no_grad():
        assert torch.equal(nested, net(x))
    assert outer.forwards == 1
    assert {kind for _, kind in outer.acted} == {"channel", "spatial"}
    with (
        pytest.raises(CaptureError, match="No forward of the model"),
        cbam_viz.ablate(net, channel),
        cbam_viz.ablate(net, spatial),
    ):
        pass
