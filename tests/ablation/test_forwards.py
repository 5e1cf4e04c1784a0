"""Forwards that leave out what is the same: to the bit as the whole ones, over all of the zoo."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.ablation.forwards import Forwards
from cbam_viz.ablation.replacements import Constant
from cbam_viz.errors import CaptureError
from tests.gates.networks import hooks_of, photos, timm_cbam
from tests.gates.zoo.test_exact import Moody
from tests.gates.zoo.truth import host, photo

from .test_zoo import same
from .zoo import NETWORKS, WITHOUT


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in WITHOUT])
def test_what_is_left_out_changes_no_bit(name: str) -> None:
    model, x = NETWORKS[name]()
    quick, whole = Forwards(model, *x), Forwards(model, *x, reuse=False)
    gates = list(quick.learned.gates)
    assert gates
    with torch.no_grad():
        assert same(quick.unchanged(gates), model(*x))
    for gate in gates:
        expected = whole.replaced({gate: Constant(0.4)})
        assert same(quick.replaced({gate: Constant(0.4)}), expected)
    every = dict.fromkeys(gates, Constant(0.4))
    assert same(quick.replaced(every), whole.replaced(every))
    assert hooks_of(model) == 0
    with torch.no_grad():
        assert same(quick.unchanged(), model(*x))


def test_most_networks_leave_something_out() -> None:
    for name in ("timm", "the authors'", "GatesReturned", "InPlaceProduct", "Repeated"):
        model, x = NETWORKS[name]()
        forwards = Forwards(model, *x)
        forwards.unchanged(forwards.learned.gates)
        assert forwards.whole == ""
        assert forwards.learned.tape.proven


class Asking(nn.Module):
    """Reads a number out of its features in front of the gates, by `how`."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net, self.how = timm_cbam(), how

    def forward(self, x: Tensor) -> Tensor:
        y = self.net.maxpool(self.net.act1(self.net.bn1(self.net.conv1(x))))
        if self.how == "item":
            y = y * y.mean().item()
        elif self.how == "tolist":
            y = y * y.flatten()[:1].tolist()[0]
        elif self.how == "numpy":
            y = y + torch.from_numpy(y.detach().numpy().copy()).abs()
        elif self.how == "random":
            y = y + torch.randn_like(y) * 0
        elif self.how == "written":
            x.zero_()
        return self.net.global_pool(self.net.layer1(y)).flatten(1)


REASONS = {
    "item": "reads numbers",
    "tolist": "reads numbers",
    "numpy": "reads numbers",
    "random": "draws random numbers",
    "written": "writes to tensors that were there before",
}


@pytest.mark.parametrize("how", REASONS)
def test_code_that_could_know_runs_as_a_whole(how: str) -> None:
    model, x = Asking(how).eval(), photos(2)
    quick, whole = Forwards(model, x), Forwards(model, x, reuse=False)
    gates = list(quick.learned.gates)
    quick.unchanged(gates)
    assert REASONS[how] in quick.whole
    gate = {gates[1]: Constant(0.4)}
    assert same(quick.replaced(gate), whole.replaced(gate))


def test_the_middle_costs_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions that really run: those behind the gate, and no other."""
    model, x = timm_cbam(), photos(1)
    forwards = Forwards(model, x)
    forwards.unchanged(forwards.learned.gates)
    runs: list[int] = []
    plain = forwards._run

    def counted(act: object) -> object:
        with torch.profiler.profile() as profile:
            out = plain(act)  # type: ignore[arg-type]
        runs.append(
            sum(
                "mkldnn_convolution" in e.name
                or "thnn_conv2d" in e.name
                or "_slow_conv2d_forward" in e.name
                for e in profile.events()
            )
        )
        return out

    monkeypatch.setattr(forwards, "_run", counted)
    forwards.replaced({("layer1.0.se", "channel"): Constant(0.4)})
    forwards.replaced({("layer4.1.se", "spatial"): Constant(0.4)})
    assert runs[1] == 0
    assert runs[0] > 10


def test_a_network_that_goes_its_own_ways() -> None:
    model = host(Moody)
    model.stem.bias.data.fill_(0)
    for seed, bright in enumerate((0.1, 5.0, 100.0)):
        x = photo(seed=seed).abs() * bright
        forwards = Forwards(model, x)
        with torch.no_grad():
            assert same(forwards.unchanged(forwards.learned.gates), model(x))
        assert "reads numbers" in forwards.whole


def test_train_mode_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"model\.eval"):
        Forwards(timm_cbam().train(), photos(1))
