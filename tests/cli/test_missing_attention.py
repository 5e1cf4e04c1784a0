"""Old weights in a network that got attention: only attention may be missing, nothing may shift."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cbam_viz import CheckpointError
from cbam_viz.gates import attention_tensors
from cbam_viz.models import LoadedModel, load_own_model

from .conftest import invoke, write_photo

State = dict[str, Tensor]
WIDTH = 4


class Gate(nn.Module):
    """A channel gate and a spatial one, with a normalisation that counts its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2), nn.ReLU(), nn.Linear(2, WIDTH))
        self.place = nn.Sequential(nn.Conv2d(2, 1, 3, padding=1), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(self.mlp(x.mean((2, 3))))[:, :, None, None]
        two = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.place(two))


class Efficient(nn.Module):
    """ECA: its one weight is called as a convolution's, and is no convolution of features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.conv(x.mean((2, 3))[:, None]))
        return x * weights[:, 0, :, None, None]


def conv() -> nn.Module:
    return nn.Conv2d(WIDTH, WIDTH, 3, padding=1)


def stem() -> nn.Module:
    return nn.Conv2d(3, WIDTH, 3, padding=1)


def norm() -> nn.Module:
    return nn.BatchNorm2d(WIDTH)


class Inside(nn.Module):
    """A container under a name, and a classifier; `places` lists what is in the container."""

    def __init__(self, places: list[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(*places)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Listed(nn.Module):
    """A ModuleList of blocks."""

    def __init__(self, places: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(places)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Nested(Inside):
    """The container's container."""

    def __init__(self, places: list[nn.Module]) -> None:
        super().__init__([places[0], nn.Sequential(*places[1:])])


class Named(nn.Module):
    """Attention under a name of its own, which moves nothing."""

    def __init__(self, gate: nn.Module | None) -> None:
        super().__init__()
        self.first, self.second = stem(), conv()
        if gate is not None:
            self.gate = gate
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = self.gate(x) if hasattr(self, "gate") else x
        return self.head(self.second(x).mean((2, 3)))


Build = Callable[[list[nn.Module]], nn.Module]
BUILDS: dict[str, Build] = {
    "root": lambda places: nn.Sequential(*places),
    "inside": Inside,
    "nested": Nested,
    "listed": Listed,
}
# What stood in the container before, and what stands there now. Every shift has equal shapes.
SHIFTS: dict[str, tuple[list[Callable[[], nn.Module]], list[Callable[[], nn.Module]]]] = {
    "third of five": ([stem, conv, conv, conv], [stem, conv, Gate, conv, conv]),
    "before the last": ([stem, conv, conv], [stem, conv, Gate, conv]),
    "with activations": (
        [stem, nn.ReLU, conv, nn.ReLU, conv, nn.ReLU],
        [stem, nn.ReLU, Gate, conv, nn.ReLU, conv, nn.ReLU],
    ),
    "where the old one was nothing": (
        [stem, nn.ReLU, conv, conv],
        [stem, nn.ReLU, Efficient, conv, conv],
    ),
    "with identities": (
        [stem, nn.Identity, conv, nn.Identity, conv],
        [stem, Gate, nn.Identity, conv, nn.Identity, conv],
    ),
    "with norms": (
        [stem, norm, conv, norm, conv, norm],
        [stem, norm, Gate, conv, norm, conv, norm],
    ),
    "two of them": ([stem, conv, conv], [stem, Gate, conv, Gate, conv]),
}


def ready(network: nn.Module) -> nn.Module:
    """With other numbers than a fresh one."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(3)))
    return network.eval()


def load(network: nn.Module, state: State, path: Path) -> LoadedModel:
    torch.save(state, path)
    names = attention_tensors(network.eval(), torch.randn(2, 3, 16, 16))
    return load_own_model(network, path, may_miss=names)


@pytest.mark.parametrize("shift", sorted(SHIFTS))
@pytest.mark.parametrize("build", sorted(BUILDS))
@pytest.mark.parametrize("prefix", ["", "module."])
def test_shifted_numbers_are_refused(tmp_path: Path, build: str, shift: str, prefix: str) -> None:
    before, after = ([make() for make in makes] for makes in SHIFTS[shift])
    state = {prefix + k: v for k, v in ready(BUILDS[build](before)).state_dict().items()}
    network = BUILDS[build](after)
    untouched = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"another network|no values for"):
        load(network, state, tmp_path / "old.pth")
    assert all(torch.equal(network.state_dict()[n], v) for n, v in untouched.items())


@pytest.mark.parametrize("build", sorted(BUILDS))
def test_the_refusal_says_what_to_rename(tmp_path: Path, build: str) -> None:
    """And following it, from the last to the first, loads every old layer where it was."""
    before, after = ([make() for make in makes] for makes in SHIFTS["third of five"])
    old, new = ready(BUILDS[build](before)), BUILDS[build](after)
    state = dict(old.state_dict())
    with pytest.raises(CheckpointError, match="are shifted") as refused:
        load(new, state, tmp_path / "old.pth")
    said = re.search(r"numbers (?:in ([\w.]+)|of the network's layers) are", str(refused.value))
    pairs = re.findall(r"(\d+) to (\d+)", str(refused.value))
    assert said is not None
    assert pairs == ([("2", "3"), ("1", "2")] if build == "nested" else [("3", "4"), ("2", "3")])
    where = f"{said.group(1)}." if said.group(1) else ""
    for number, other in pairs:
        start = f"{where}{number}."
        for name in [name for name in state if name.startswith(start)]:
            state[f"{where}{other}." + name[len(start) :]] = state.pop(name)
    loaded = load(new, state, tmp_path / "new.pth")
    assert loaded.report is not None
    assert {name.rpartition(".")[0] for name in loaded.report.missing} == {
        name for name, part in new.named_modules() if _is_of_gate(new, name, part)
    }


def _is_of_gate(network: nn.Module, name: str, part: nn.Module) -> bool:
    inside = tuple(f"{n}." for n, p in network.named_modules() if isinstance(p, Gate))
    return name.startswith(inside) and any(True for _ in part.parameters(recurse=False))


@pytest.mark.parametrize("gate", [Gate, Efficient])
@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize("wrapping", [lambda s: s, lambda s: {"epoch": 1, "state_dict_ema": s}])
def test_attention_alone_may_be_missing(
    tmp_path: Path, gate: type[nn.Module], counters: bool, wrapping: Callable[[State], State]
) -> None:
    old, new = ready(Named(None)), Named(gate())
    state = {k: v for k, v in old.state_dict().items() if counters or "num_batches" not in k}
    loaded = load(new, wrapping(state), tmp_path / "old.pth")
    assert loaded.report is not None
    assert loaded.report.missing
    assert all(name.startswith("gate.") for name in loaded.report.missing)
    assert all(torch.equal(new.state_dict()[name], value) for name, value in state.items())
    with pytest.raises(CheckpointError, match="no values for"):
        load_own_model(new, tmp_path / "old.pth")


@pytest.mark.parametrize("lost", ["second", "head"])
def test_another_layer_may_not_be_missing(tmp_path: Path, lost: str) -> None:
    old = ready(Named(None)).state_dict()
    state = {name: value for name, value in old.items() if not name.startswith(lost)}
    with pytest.raises(CheckpointError, match=f"{lost}.weight.*Only attention may be missing"):
        load(Named(Gate()), state, tmp_path / "old.pth")


def test_what_is_left_over(tmp_path: Path) -> None:
    """Of a part that the network has, a refusal; of one that it lacks or took off, a report."""
    state = dict(ready(Named(None)).state_dict())
    with pytest.raises(CheckpointError, match=r"no place for them: second\.scale"):
        load(Named(Gate()), {**state, "second.scale": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"no place for them: second\.more\.weight"):
        load_own_model(Named(None), save(tmp_path, {**state, "second.more.weight": torch.ones(1)}))
    loaded = load(Named(Gate()), {**state, "loss.weight": torch.ones(1)}, tmp_path / "b.pth")
    assert loaded.report is not None
    assert loaded.report.unexpected == ("loss.weight",)
    cut = Named(Gate())
    cut.head = nn.Identity()  # type: ignore[assignment]
    loaded = load(cut, state, tmp_path / "c.pth")
    assert loaded.report is not None
    assert loaded.report.unexpected == ("head.weight", "head.bias")


def save(folder: Path, state: State) -> Path:
    torch.save(state, folder / "saved.pth")
    return folder / "saved.pth"


def test_names_that_two_parts_share_stay_apart(tmp_path: Path) -> None:
    """A prefix that most names share is a wrapper's only where the network has no such part."""

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.aaa = nn.Sequential(stem())
            self.backbone = nn.Sequential(stem(), conv())

        def forward(self, x: Tensor) -> Tensor:
            return self.backbone(x) + self.aaa(x)

    old, new = ready(Pair()), Pair()
    load_own_model(new, save(tmp_path, dict(old.state_dict())))
    assert all(torch.equal(new.state_dict()[n], v) for n, v in old.state_dict().items())


def test_attention_tensors_are_those_of_the_gates() -> None:
    network = Named(Gate()).eval()
    names = {name for name in network.state_dict() if name.startswith("gate.")}
    assert attention_tensors(network, torch.randn(1, 3, 8, 8)) == names
    assert attention_tensors(network) == names
    assert attention_tensors(Named(None).eval()) == frozenset()


CODE = """
import torch
from torch import nn
from timm.layers.cbam import CbamModule
def conv(a): return nn.Conv2d(a, 16, 3, padding=1)
def make(): return nn.Sequential(conv(3), conv(16), CbamModule(16), conv(16), conv(16))
def old(): return nn.Sequential(conv(3), conv(16), conv(16), conv(16))
"""


def test_the_command_line_refuses_shifted_weights(folder: Path) -> None:
    (folder / "mine.py").write_text(CODE)
    write_photo(folder / "photo.png")
    space: dict[str, Callable[[], nn.Module]] = {}
    exec(CODE, space)
    state = space["old"]().state_dict()
    torch.save(state, folder / "old.pth")
    options = ("--model", "mine.py:make", "--allow-missing-attention", "--json")
    command = ("show", "photo.png", *options)
    ended = invoke(*command, "-c", "old.pth")
    assert ended.exit_code == 3
    assert "shifted" in ended.stderr
    assert "3 to 4, 2 to 3" in ended.stderr
    renamed = {
        name.replace("3.", "4.").replace("2.", "3.", 1) if name[0] in "23" else name: value
        for name, value in state.items()
    }
    torch.save(renamed, folder / "new.pth")
    ended = invoke(*command, "-c", "new.pth")
    assert ended.exit_code == 0, ended.output
    assert [layer["name"] for layer in json.loads(ended.stdout)["layers"]] == ["2"]
    assert "missing from the checkpoint: random values" in ended.stderr
