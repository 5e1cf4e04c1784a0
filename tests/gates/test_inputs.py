"""What else a network may be given: arrays, pictures, odd tensors, and forwards without values."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import make_dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from cbam_viz.attention import Cells
from cbam_viz.errors import CaptureError, NoAttentionError
from cbam_viz.gates import Capture, capture
from cbam_viz.gates.layout.inputs import picture_layout, picture_size
from cbam_viz.gates.model.restore import train_lock

from .networks import AuthorsCbam, hooks_of, photos


class Own(nn.Module):
    """CBAM of no known class."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.fc, self.conv = nn.Linear(channels, channels), nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.fc(x.mean((-2, -1))).sigmoid()[..., None, None]
        maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.conv(maps).sigmoid()


class Net(nn.Module):
    """One CBAM at half the input's size."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.stem, self.cbam = nn.Conv2d(3, 8, 3, 2, 1), kind(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cbam(self.stem(x)).mean((2, 3)))


class Taking(nn.Module):
    """A network that makes its tensor out of something else."""

    def __init__(self, net: nn.Module, way: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.net, self.way = net, way

    def forward(self, given: Any) -> Tensor:
        return self.net(self.way(given))


KINDS = pytest.mark.parametrize("kind", [Own, CbamModule])


def net(kind: type[nn.Module] = Own) -> nn.Module:
    torch.manual_seed(0)
    return Net(kind).eval()


HEIGHT, WIDTH = 16, 20
X = torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
PHOTO = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
PLACED = Cells(2.0, 2.0, 0.5, 0.5)


def last(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array)).permute(2, 0, 1)[None] / 255


Record, Pair = make_dataclass("Record", ["image", "label"]), namedtuple("Pair", "image label")

PICTURES: dict[str, tuple[Callable[[Any], Tensor], Any]] = {
    "(H, W, C)": (last, PHOTO),
    "(H, W, C), torch.tensor": (lambda a: torch.tensor(a).permute(2, 0, 1)[None] / 255, PHOTO),
    "(H, W, C), float": (last, PHOTO.astype(np.float32)),
    "turned in numpy": (lambda a: torch.from_numpy(a.transpose(2, 0, 1).copy())[None] / 255, PHOTO),
    "normalised in numpy": (lambda a: last((a - 99.0).astype(np.float32)), PHOTO),
    "(C, H, W)": (lambda a: torch.from_numpy(a)[None] / 255, PHOTO.transpose(2, 0, 1).copy()),
    "(B, H, W, C)": (
        lambda a: torch.from_numpy(a).permute(0, 3, 1, 2) / 255,
        PHOTO[None],
    ),
    "(H, W)": (lambda a: torch.from_numpy(a)[None, None].repeat(1, 3, 1, 1) / 255, PHOTO[..., 0]),
    "list": (lambda a: torch.cat([last(one) for one in a]), [PHOTO, PHOTO]),
    "dictionary": (lambda a: last(a["image"]), {"id": 7, "image": PHOTO}),
    "Pillow": (last, Image.fromarray(PHOTO)),
    "path": (lambda _: last(PHOTO), "photo.jpg"),
    "nothing known": (lambda a: a.images, SimpleNamespace(images=X)),
    "dataclass": (lambda a: a.image, Record(X, 1)),
    "named tuple": (lambda a: a.image, Pair(X, 1)),
    "uint8": (lambda a: a / 255, X.mul(40).to(torch.uint8)),
}


@KINDS
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_lie_where_their_pixels_are(kind: type[nn.Module], name: str) -> None:
    """The gates are those of the same picture given as a tensor."""
    way, given = PICTURES[name]
    model = Taking(net(kind), way)
    with torch.no_grad():
        expected = capture(net(kind), way(given).float())["cbam"]
        for _ in range(3):
            attention = capture(model, given)
            layer = attention["net.cbam"]
            assert attention.input_size == (HEIGHT, WIDTH)
            assert layer.cells == PLACED == expected.cells
            assert torch.equal(layer.channel, expected.channel)
            assert torch.equal(layer.spatial, expected.spatial)


@KINDS
def test_a_picture_made_smaller_before_it_is_a_tensor(kind: type[nn.Module]) -> None:
    """Nothing says how: the map is spread over the picture, and that is said."""
    model = Taking(net(kind), lambda a: last(a[::2, ::2]))
    with torch.no_grad():
        for _ in range(2):
            attention = capture(model, PHOTO)
            assert attention.input_size == (HEIGHT, WIDTH)
            placed = Cells(4.0, 4.0, 2.0, 2.0, exact=False, within=None)
            assert attention["net.cbam"].cells == placed


@KINDS
def test_pictures_of_other_sizes(kind: type[nn.Module]) -> None:
    """What was learnt of one size is not told of another."""
    model = Taking(net(kind), lambda a: last(a[::2, ::2]))
    with torch.no_grad():
        for height in (16, 32, 16, 48):
            attention = capture(model, np.resize(PHOTO, (height, WIDTH, 3)))
            assert attention.input_size == (height, WIDTH)
            assert attention["net.cbam"].cells.stride_y == 4.0
            assert attention["net.cbam"].spatial.shape == (1, height // 4, 5)


@KINDS
def test_a_network_that_draws_its_own_input(kind: type[nn.Module]) -> None:
    """What its first convolution is given is its input; where on it maps lie is not known."""
    model = Taking(net(kind), lambda count: torch.randn(count, 3, HEIGHT, WIDTH))
    with torch.no_grad():
        for count in (1, 2):
            attention = capture(model, count)
            assert attention.input_size == (HEIGHT, WIDTH)
            placed = Cells(2.0, 2.0, 1.0, 1.0, exact=False, within=None)
            assert attention["net.cbam"].cells == placed
            assert attention["net.cbam"].channel.shape == (count, 8)


def test_sizes_of_pictures() -> None:
    assert picture_size(np.zeros((5, 7))) == (5, 7)
    assert picture_size(np.zeros((5, 7, 3))) == picture_size(np.zeros((3, 5, 7))) == (5, 7)
    assert picture_size(np.zeros((2, 4, 5, 7))) == picture_size(np.zeros((2, 5, 7, 1))) == (5, 7)
    assert picture_size(Image.new("L", (7, 5))) == (5, 7)
    for other in (np.zeros(3), np.zeros((5, 7, 9)), np.array("x"), np.zeros((1,) * 5), "x", None):
        assert picture_size(other) is None
    assert picture_layout((3, 5, 7), (7, 5)) is None
    assert picture_layout((5, 7), None) is None
    assert picture_layout((1, 3, 1, 1), None) is None


# Inside transforms of torch.func, and without values


class Inside(nn.Module):
    """A network that runs another one in a transform, beside a layer of its own."""

    def __init__(self, inner: nn.Module, outer: nn.Module, way: Callable[..., Any]) -> None:
        super().__init__()
        self.inner, self.outer, self.way = inner, outer, way

    def forward(self, x: Tensor) -> Any:
        return self.way(self.inner, x), self.outer(x)


def ensemble(model: nn.Module, x: Tensor) -> Tensor:
    """Two networks in one, their weights on an axis of their own."""
    both = {name: torch.stack([p, p + 0.1]) for name, p in model.state_dict().items()}
    return torch.vmap(lambda one: torch.func.functional_call(model, one, (x,)))(both)


TRANSFORMS = {
    "vmap": lambda model, x: torch.vmap(lambda one: model(one[None])[0])(x),
    "grad": lambda model, x: torch.func.grad(lambda one: model(one).sum())(x),
    "jvp": lambda model, x: torch.func.jvp(model, (x,), (x,)),
    "ensemble": ensemble,
}
TRANSFORM = pytest.mark.parametrize("name", TRANSFORMS)


@KINDS
@TRANSFORM
def test_layers_in_a_transform_are_named(kind: type[nn.Module], name: str) -> None:
    """The others are captured, and the network gives what it gives without a capture."""
    model = Inside(net(kind), net(kind), TRANSFORMS[name]).eval()
    with torch.no_grad():
        expected = capture(net(kind), X)["cbam"]
        plain = model(X)
        for _ in range(3):
            attention = capture(model, X)
            layer = attention["outer.cbam"]
            assert list(attention) == ["outer.cbam"]
            assert torch.equal(layer.channel, expected.channel)
            assert torch.equal(layer.spatial, expected.spatial)
            (entry,) = attention.unsupported
            assert entry.module == "inner.cbam"
            assert entry.reason.startswith("it ran inside torch.vmap or a transform of torch.func")
            assert attention.not_called == ()
            for one, two in zip(flat(attention.output), flat(plain), strict=True):
                assert torch.allclose(one, two, atol=1e-6)
    assert hooks_of(model) == 0


def flat(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [t for part in value for t in flat(part)]


@KINDS
@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "ensemble"])
@pytest.mark.parametrize("train", [False, True])
def test_a_capture_in_a_transform_says_so(kind: type[nn.Module], name: str, train: bool) -> None:
    model = net(kind).train(train)
    asked = lambda x: capture(model, x).output  # noqa: E731
    with pytest.raises(CaptureError, match=r"inside|into torch\.vmap .* outside of it"):
        TRANSFORMS[name](Calling(asked), X)
    with pytest.raises(CaptureError, match=r"into torch\.vmap"), Capture(model):
        TRANSFORMS[name](model, X)
    assert hooks_of(model) == 0
    assert is_free()
    with torch.no_grad():
        assert list(capture(model, X)) == ["cbam"]


def is_free() -> bool:
    """Whether another thread may capture a network in train mode."""

    def ask() -> bool:
        free = train_lock.acquire(timeout=5)
        if free:
            train_lock.release()
        return free

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


class Calling(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def faked(kind: type[nn.Module]) -> None:
    with FakeTensorMode():
        model, x = Net(kind).eval(), torch.randn(1, 3, HEIGHT, WIDTH)
    capture(model, x)


def faked_around(kind: type[nn.Module]) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        capture(net(kind), mode.from_tensor(X))


def on_meta(kind: type[nn.Module]) -> None:
    capture(net(kind).to("meta"), X.to("meta"))


@KINDS
@pytest.mark.parametrize("run", [on_meta, faked, faked_around])
def test_a_forward_without_values_says_so(kind: type[nn.Module], run: Callable[..., None]) -> None:
    with torch.no_grad(), pytest.raises(CaptureError, match=r"meta device.*to_empty"):
        run(kind)


def test_errors_of_the_network_itself_pass_through() -> None:
    """As they come without a capture: weights here and the input on the meta device, say."""
    for x in (X.to("meta"), X.to_sparse(), torch.randn(2, 5, 9, 9)):
        with torch.no_grad():
            with pytest.raises(RuntimeError) as plain:
                net()(x)
            with pytest.raises(RuntimeError) as captured:
                capture(net(), x)
        assert type(captured.value) is type(plain.value)
        assert str(captured.value) == str(plain.value)


ODD: dict[str, tuple[Callable[[Any], Tensor], Callable[[], Tensor]]] = {
    "sparse": (lambda x: x.to_dense(), X.to_sparse),
    "quantised": (
        lambda x: x.dequantize(),
        lambda: torch.quantize_per_tensor(X, 0.1, 0, torch.qint8),
    ),
    "complex": (lambda x: x.real + x.imag, lambda: torch.complex(X, X)),
    "nested": (
        lambda x: torch.stack(list(x.unbind())),
        lambda: torch.nested.nested_tensor([X[0], X[1]]),
    ),
}


@KINDS
@pytest.mark.parametrize("name", ODD)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:The PyTorch API of nested")
def test_odd_tensors(kind: type[nn.Module], name: str) -> None:
    way, make = ODD[name]
    model, given = Taking(net(kind), way), make()
    with torch.no_grad():
        expected = capture(net(kind), way(given))["cbam"]
        for _ in range(2):
            attention = capture(model, given)
            layer = attention["net.cbam"]
            assert attention.input_size == (HEIGHT, WIDTH)
            assert torch.equal(layer.channel, expected.channel)
            assert torch.equal(layer.spatial, expected.spatial)
            assert layer.cells == PLACED or not layer.cells.exact


def test_an_error_of_the_capture_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in a hook of ours, the network runs on and the user reads why."""
    from cbam_viz.gates import recorder
    from cbam_viz.gates.watch import forward

    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("lost")

    for where, name in (
        (forward, "sampled"),
        (recorder, "input_size_of"),
        (recorder, "attention_of"),
    ):
        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(where, name, fail)
            model, output = net(), []
            model.register_forward_hook(lambda *args, seen=output: seen.append(args[2]))
            with pytest.raises(CaptureError, match=r"could not be read \(KeyError: 'lost'\)"):
                capture(model, X)
            assert torch.equal(output[0], net()(X))


class ByForward(nn.Module):
    """Calls a module's `forward` itself, which no hook sees."""

    class Cbam(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8))
            self.score = nn.Conv2d(2, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x * (x.mean((2, 3)) * self.weight).sigmoid()[:, :, None, None]

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cbam, self.spare = nn.Conv2d(3, 8, 1), self.Cbam(), self.Cbam()

    def forward(self, x: Tensor) -> Tensor:
        return self.cbam.forward(self.stem(x))


def test_a_module_whose_forward_is_called_itself_did_run() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        attention = capture(ByForward().eval(), X)
    assert attention.not_called == ("spare",)
    assert len(attention) == 1


def test_plain_networks_without_gates_still_say_so() -> None:
    with pytest.raises(NoAttentionError):
        capture(Taking(nn.Conv2d(3, 4, 1), last), PHOTO)


BATCHES: dict[str, Callable[[list[Tensor]], Any]] = {
    "list": list,
    "tuple": tuple,
    "dicts": lambda images: [{"image": image, "height": 64} for image in images],
}


@pytest.mark.parametrize("name", BATCHES)
def test_images_one_by_one(name: str) -> None:
    """As detectors take them: (C, H, W) tensors in a list, a tuple, or dicts of what is known."""

    class Batched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.cbam = nn.Conv2d(3, 8, 3, stride=2, padding=1), AuthorsCbam(8)

        def forward(self, batch: Any) -> Tensor:
            images = [one["image"] if isinstance(one, dict) else one for one in batch]
            return self.cbam(self.stem(torch.stack(images)))

    torch.manual_seed(0)
    model = Batched().eval()
    with torch.no_grad():
        for seed in range(2):
            x = photos(seed=seed)
            found = capture(model, BATCHES[name](list(x)))
            plain = capture(copy.deepcopy(model), list(x))
            whole = model.stem(x)
            assert found.input_size == tuple(x.shape[-2:])
            assert list(found) == ["cbam"]
            assert found["cbam"].cells == plain["cbam"].cells
            assert found["cbam"].spatial.shape == (len(x), *whole.shape[-2:])
            gated = found["cbam"].channel[:, :, None, None] * found["cbam"].spatial[:, None]
            assert torch.allclose(whole * gated, found.output, atol=1e-6)


ANSWERS: dict[str, Callable[[Tensor], Any]] = {
    "nothing": lambda _: None,
    "text": lambda x: str(int(x.argmax())),
    "array": lambda x: x.numpy(),
    "number": lambda x: float(x.mean()),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_are_no_tensors(name: str) -> None:
    """The layers are those that the network has, whatever it makes of their features."""

    class Answering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.cbam = nn.Conv2d(3, 8, 3), AuthorsCbam(8)
            self.rest = nn.Conv2d(8, 8, 3)

        def forward(self, x: Tensor) -> Any:
            return ANSWERS[name](self.rest(self.cbam(self.stem(x))))

    torch.manual_seed(0)
    model = Answering().eval()
    with torch.no_grad():
        for seed in range(2):
            x = photos(seed=seed)
            attention = capture(model, x)
            assert list(attention) == ["cbam"]
            (layer,) = attention.values()
            features = model.stem(x)
            gated = features * layer.channel[:, :, None, None] * layer.spatial[:, None]
            assert layer.composition == "channel then spatial"
            assert torch.allclose(gated, model.cbam(features), atol=1e-6)
