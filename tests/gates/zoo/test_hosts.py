"""The same structures in networks that are wrapped, scripted, shared, checkpointed, half."""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cbam_viz.attention import Cells
from cbam_viz.errors import CaptureError
from cbam_viz.gates import Capture, capture
from cbam_viz.gates.watch import products

from . import composition, sequential
from .test_exact import assert_exact, same
from .truth import CHANNELS, Attentive, Gates, Host, host, photo, ready, truths


class Eightfold(nn.Module):
    """One CBAM for all levels, with features of three sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.shared = sequential.GatesReturned(CHANNELS)

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [nn.functional.avg_pool2d(self.stem(x), 2**k) for k in (0, 1, 2)]
        return [self.shared(level) for level in (*levels, *levels, *levels[:2])]


def test_one_module_called_eight_times() -> None:
    torch.manual_seed(0)
    model = ready(Eightfold())
    for _ in range(2):
        with torch.no_grad():
            attention = capture(ready(model), photo())
        assert_exact(attention, truths(model))
    assert list(attention) == ["shared", *(f"shared#{call}" for call in range(2, 9))]
    assert [layer.call for layer in attention.calls("shared")] == list(range(1, 9))
    maps = [layer.spatial.shape[1:] for layer in attention.values() if layer.spatial is not None]
    assert maps == [(24, 20), (12, 10), (6, 5)] * 2 + [(24, 20), (12, 10)]


class Idle(Host):
    """Owns a CBAM that its forward never calls."""

    def __init__(self) -> None:
        super().__init__(sequential.GatesReturned)
        self.spare_cbam = sequential.GatesReturned(CHANNELS)


def test_a_module_never_called_is_named() -> None:
    torch.manual_seed(0)
    model = ready(Idle())
    with torch.no_grad():
        attention = capture(model, photo())
    assert list(attention) == ["first", "second"]
    assert attention.not_called == ("spare_cbam",)


class SquareCbam(nn.Module):
    """ultralytics's: one layer without a bottleneck for the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.conv = nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Conv2d(2, 1, 7, padding=3)


class FeaturesToMap(nn.Module):
    """A map straight from the features, and a class name that says what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(CHANNELS, 2)
        self.conv = nn.Conv2d(CHANNELS, 1, 7, padding=3)


class MyCBAMLayer(FeaturesToMap):
    """The same under its name."""


class GatedBlock(nn.Module):
    """A residual block with a convolution and both gates, of which it calls nothing but that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.ca = nn.Sequential(nn.Conv2d(CHANNELS, 2, 1), nn.ReLU(), nn.Conv2d(2, CHANNELS, 1))
        self.sa = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


IDLE = {
    "without a bottleneck": (SquareCbam, ("spare",)),
    "named after CBAM": (MyCBAMLayer, ("spare",)),
    "no CBAM at all": (FeaturesToMap, ()),
    "gates of a block that runs": (GatedBlock, ("first.body.ca", "first.body.sa")),
}


@pytest.mark.parametrize("kind", IDLE)
def test_what_never_runs_is_named_whoever_wrote_it(kind: str) -> None:
    make, names = IDLE[kind]
    torch.manual_seed(0)
    model = Host(sequential.GatesReturned)
    if make is GatedBlock:
        model.first = nn.Sequential(OrderedDict(body=make()))
    else:
        model.spare = make()
    with torch.no_grad():
        attention = capture(ready(model), photo())
    assert attention.not_called == names


class Twice(Attentive):
    """Two CBAMs written into one forward, a convolution between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = Gates(channels), Gates(channels)
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        for gates in (self.one, self.two):
            x = self.conv(x)
            ca = gates.channel(x)
            x = x * ca
            sa = gates.spatial(x)
            self.note(ca, sa)
            x = x * sa
        return x


def test_two_pairs_in_one_forward() -> None:
    model = host(Twice)
    with torch.no_grad():
        attention = capture(model, photo())
    found, expected = list(attention.values()), list(truths(model).values())
    assert [layer.module.split(".")[0] for layer in found] == ["first"] * 2 + ["second"] * 2
    for layer, truth in zip(found, expected, strict=True):
        assert same(layer.channel, truth.channel)
        assert same(layer.spatial, truth.spatial)


def test_the_model_itself_is_the_block() -> None:
    torch.manual_seed(0)
    model = ready(sequential.GatesReturned(3))
    with torch.no_grad():
        attention = capture(model, photo())
    (layer,) = attention.values()
    (truth,) = model.truth
    assert same(layer.channel, truth.channel)
    assert same(layer.spatial, truth.spatial)


class Checkpointed(Host):
    """Activation checkpointing around both structures."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = checkpoint(self.first, x, use_reentrant=self.reentrant)
        x = checkpoint(self.second, self.middle(x), use_reentrant=self.reentrant)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed(reentrant: bool) -> None:
    torch.manual_seed(0)
    model = ready(Checkpointed(sequential.GatesReturned))
    model.reentrant = reentrant
    attention = capture(model, photo().requires_grad_())
    assert_exact(attention, truths(model))
    assert not any(g.requires_grad for layer in attention.values() for g in (layer.channel,))


def test_gradients_still_flow() -> None:
    model = host(composition.ResidualBlock)
    x = photo().requires_grad_()
    plain = torch.autograd.grad(model(x).sum(), x)[0]
    assert torch.equal(torch.autograd.grad(capture(model, x).output.sum(), x)[0], plain)


@pytest.mark.parametrize(
    "run",
    [torch.no_grad, torch.inference_mode, torch.enable_grad],
    ids=["no_grad", "inference_mode", "grad"],
)
def test_autograd_modes(run: Callable[[], torch.no_grad]) -> None:
    model = host(sequential.ProductsReturned)
    with run():
        attention = capture(model, photo())
    assert_exact(attention, truths(model))


class Decoder(nn.Module):
    """Interpolation of every kind, and a gate on upsampled features beside a skip connection."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.cbam = sequential.GatesReturned(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.stem(x)
        corners = None if self.mode in ("nearest", "nearest-exact", "area") else False
        up = nn.functional.interpolate(
            self.down(skip), size=skip.shape[2:], mode=self.mode, align_corners=corners
        )
        return self.cbam(torch.cat([up, skip], 1))


@pytest.mark.parametrize("run", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_decoders(mode: str, run: Callable[[], torch.no_grad]) -> None:
    """Under inference mode whole compositions arrive: taking them apart must change no bit."""
    torch.manual_seed(0)
    model = ready(Decoder(mode))
    with run():
        attention = capture(model, photo())
        assert_exact(attention, truths(model))
        assert torch.equal(attention.output, model(photo()))
    assert attention.unsupported == ()


def test_channels_last() -> None:
    model = host(sequential.Repeated).to(memory_format=torch.channels_last)
    with torch.no_grad():
        attention = capture(model, photo().contiguous(memory_format=torch.channels_last))
    assert_exact(attention, truths(model))


@pytest.mark.parametrize("make", [sequential.GatesReturned, sequential.ProductsReturned])
def test_autocast(make: type[nn.Module]) -> None:
    model = host(make)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        attention = capture(model, photo())
    assert_exact(attention, truths(model))
    assert {layer.dtype for layer in attention.values()} == {torch.bfloat16}
    assert all(layer.verified for layer in attention.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_whole_network_in_another_dtype(dtype: torch.dtype) -> None:
    model = host(sequential.GatesReturned).to(dtype)
    with torch.no_grad():
        attention = capture(model, photo().to(dtype))
    assert_exact(attention, truths(model))
    assert all(layer.verified for layer in attention.values())


def test_data_parallel() -> None:
    """Names are those of the network inside."""
    model = host(sequential.GatesReturned)
    with torch.no_grad():
        attention = capture(nn.DataParallel(model), photo())
    assert_exact(attention, truths(model))


class Outer(nn.Module):
    """A detector-like model: image and mask in, nested outputs out."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"body": Host(sequential.GatesReturned)})

    def forward(self, *, images: Tensor, masks: Tensor) -> dict[str, object]:
        images = images * masks  # the user's mask is no attention of the network's
        return {"logits": self.backbone["body"](images), "sizes": [(images.shape[2], None)]}


def test_keyword_inputs_and_nested_outputs() -> None:
    torch.manual_seed(0)
    model = ready(Outer())
    x = photo()
    masks = (torch.rand(2, 1, 24, 20) > 0.3).float()
    with torch.no_grad():
        attention = capture(model, images=x, masks=masks)
    assert_exact(attention, truths(model))
    assert list(attention) == ["backbone.body.first", "backbone.body.second"]
    assert attention.output["sizes"] == [(24, None)]
    assert attention.input_size == (24, 20)


class Siamese(nn.Module):
    """One network for two images of different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Host(sequential.ProductsReturned)

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        return self.body(one) - self.body(two)


def test_one_network_for_two_images() -> None:
    torch.manual_seed(0)
    model = Siamese()
    for seed in (1, 2):
        with torch.no_grad():
            attention = capture(ready(model), photo(seed=seed), photo(2, 32, 32, seed=seed + 2))
        assert_exact(attention, truths(model))
    assert list(attention) == ["body.first", "body.second", "body.first#2", "body.second#2"]


class Noisy(Gates):
    """Dropout inside the gate and batch statistics: another gate in every forward of training."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        ca = nn.functional.dropout(self.channel_logits(x), 0.3, self.training).sigmoid()
        x = x * ca
        sa = self.norm(self.spatial_logits(x)).sigmoid()
        self.note(ca, sa)
        return x * sa


def test_train_mode() -> None:
    torch.manual_seed(0)
    model = Host(Noisy)
    for seed in range(3):
        ready(model).train()
        with torch.no_grad():
            attention = capture(model, photo(seed=seed))
        for name, truth in truths(model).items():
            assert same(attention[name].channel, truth.channel)
            assert same(attention[name].spatial, truth.spatial)
        assert list(attention) == ["first", "second"]


def test_a_gate_that_a_users_hook_replaces() -> None:
    """Ablation: what is multiplied is what counts, not what the module computed."""
    model = host(sequential.GatesReturned)
    with torch.no_grad():
        before = capture(model, photo())["first"].channel
        model.first.ca.register_forward_hook(lambda module, args, gate: gate / 4)
        attention = capture(ready(model), photo())
        again = capture(ready(model), photo())
    for found in (attention, again):
        assert torch.equal(found["first"].channel, before / 4)
        assert_exact(found, truths(model))


def test_a_module_that_is_replaced() -> None:
    model = host(sequential.GatesReturned)
    with torch.no_grad():
        capture(model, photo())
        model.first = composition.SpatialFirst(CHANNELS)
        attention = capture(ready(model), photo())
    assert_exact(attention, truths(model))


def test_a_copy_is_another_model() -> None:
    """A deep copy takes hooks along; ultralytics predicts with one."""
    model = host(sequential.GatesReturned)
    with torch.no_grad():
        with Capture(model) as recorder:
            twin = copy.deepcopy(model)
            twin(photo())
        assert recorder.results == []
        with pytest.raises(CaptureError, match="not a copy of it"):
            recorder.attention()
        attention = capture(twin, photo())
        assert list(attention) == ["first", "second"]


class Scriptable(nn.Module):
    """A CBAM that TorchScript can compile."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        self.conv = nn.Conv2d(2, 1, 3, padding=1)

    def channel(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True)))

    def spatial(self, x: Tensor) -> Tensor:
        maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return torch.sigmoid(self.conv(maps))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.channel(x)
        return x * self.spatial(x)


def scriptable_truth(model: nn.Module, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Both layers' gates, by running the parts one after the other."""
    gates = []
    x = model.stem(x).relu()
    for layer, between in ((model.first, model.middle), (model.second, None)):
        ca = layer.channel(x)
        x = x * ca
        sa = layer.spatial(x)
        gates.append((ca.flatten(1), sa.squeeze(1)))
        x = x * sa
        x = x if between is None else between(x).relu()
    return gates


def as_script(model: nn.Module) -> nn.Module:
    return torch.jit.script(model)


def as_trace(model: nn.Module) -> nn.Module:
    return torch.jit.trace(model, photo(2))


def as_frozen(model: nn.Module) -> nn.Module:
    return torch.jit.freeze(torch.jit.script(model))


def as_graph(model: nn.Module) -> nn.Module:
    return torch.fx.symbolic_trace(model)


def as_export(model: nn.Module) -> nn.Module:
    return torch.export.export(model, (photo(2),)).module()


def with_scripted_children(model: nn.Module) -> nn.Module:
    model.first, model.second = torch.jit.script(model.first), torch.jit.script(model.second)
    return model


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


class ScriptableHost(nn.Module):
    """`Host` without the parts that TorchScript cannot read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1)
        self.first, self.second = Scriptable(CHANNELS), Scriptable(CHANNELS)
        self.middle = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.middle(self.first(torch.relu(self.stem(x)))))
        return self.second(x).mean((2, 3))


WRAPPED = [
    as_script, as_trace, as_frozen, as_graph, as_export, with_scripted_children, compiled,
]  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPED)
def test_scripted_traced_compiled(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    model = ScriptableHost().eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scriptable_truth(model, photo())
        attention = capture(wrap(model), photo())
    names = ["model", "model#2"] if wrap is as_frozen else ["first", "second"]
    assert list(attention) == names, "frozen TorchScript alone has no modules left"
    for layer, (channel, spatial) in zip(attention.values(), expected, strict=True):
        assert layer.composition == "channel then spatial"
        assert layer.channel is not None
        assert layer.spatial is not None
        assert torch.allclose(layer.channel, channel, rtol=0, atol=1e-6)
        assert torch.allclose(layer.spatial, spatial, rtol=0, atol=1e-6)


def test_a_forward_that_is_called_itself() -> None:
    """`layer.forward(x)` runs no hooks; the layer's parameters tell which one it was."""

    class Direct(ScriptableHost):
        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.middle(self.first.forward(torch.relu(self.stem(x)))))
            return self.second.forward(x).mean((2, 3))

    torch.manual_seed(0)
    with torch.no_grad():
        attention = capture(Direct().eval(), photo())
    assert list(attention) == ["first", "second"]
    assert attention.not_called == ()


@dataclass
class Request:
    """What some networks take instead of a tensor."""

    images: list[Tensor]
    flag: bool = True


class Detector(nn.Module):
    """Takes a list of images, alone or in a dictionary or a dataclass, as detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Host(sequential.GatesReturned)

    def forward(self, batch: list[Tensor] | dict[str, list[Tensor]] | Request) -> list[Tensor]:
        if isinstance(batch, dict):
            batch = batch["images"]
        images = batch.images if isinstance(batch, Request) else batch
        return list(self.body(torch.stack(images)))


@pytest.mark.parametrize("wrap", [list, lambda images: {"images": images}, Request])
def test_a_list_of_images(wrap: Callable[[list[Tensor]], Any]) -> None:
    torch.manual_seed(0)
    model = ready(Detector())
    with torch.no_grad():
        attention = capture(model, wrap(list(photo())))
    assert_exact(attention, truths(model))
    assert attention.input_size == (24, 20)
    assert all(layer.cells == Cells(2.0, 2.0, 0.5, 0.5) for layer in attention.values())


def test_what_could_not_be_looked_at_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the watch itself, whatever it be: named once, shortened, and not raised."""

    def fail(*_: Any) -> bool:
        raise ValueError("no such thing" + "!" * 1000 + "\nand so on")

    monkeypatch.setattr(products, "agree", fail)
    model = host(sequential.GatesReturned)
    with torch.no_grad():
        attention = capture(model, photo())
        assert torch.equal(attention.output, model(photo()))
    assert list(attention) == []
    assert [entry.module for entry in attention.unsupported] == ["first", "second"]
    for entry in attention.unsupported:
        assert entry.reason.startswith("an operation that could not be read (ValueError: no such t")
        assert len(entry.reason) < 250
        assert "\n" not in entry.reason


@pytest.mark.parametrize("name", ["features", "branches", "x"])
def test_the_models_own_keywords_reach_it(name: str) -> None:
    """Only `branches`, `descriptors` and `features` are the capture's own."""

    class Keyworded(Host):
        def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
            return super().forward(x * scale)

    torch.manual_seed(0)
    model = ready(Keyworded(sequential.GatesReturned))
    with torch.no_grad():
        arguments = {"x": photo(), "scale": 0.5} if name == "x" else {name: True, "scale": 0.5}
        attention = capture(model, *(() if name == "x" else (photo(),)), **arguments)
    assert_exact(attention, truths(model))
