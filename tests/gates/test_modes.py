"""Every way to run a network: training, half precision, wrapped, compiled, scripted."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cbam_viz.gates import Capture, capture

from .networks import (
    authors_cbam,
    hooks_of,
    multiplied,
    photos,
    same_layers,
    timm_cbam,
    tiny_authors,
    tiny_cbam,
)

MAKERS = pytest.mark.parametrize("make", [timm_cbam, authors_cbam])
TINY = pytest.mark.parametrize("make", [tiny_cbam, tiny_authors])


@MAKERS
def test_train_mode_leaves_the_model_as_it_was(make: type) -> None:
    model = make().train()
    model.layer2.eval()
    modes = [module.training for module in model.modules()]
    kept = [buffer.clone() for buffer in model.buffers()]
    twin = copy.deepcopy(model)
    plain = twin(photos(4))  # its BatchNorm uses the batch's own statistics
    for _ in range(2):
        attention = capture(model, photos(4))
        assert torch.equal(attention.output, plain)
        assert all(map(torch.equal, kept, model.buffers()))
        assert [module.training for module in model.modules()] == modes
    assert not all(map(torch.equal, kept, twin.buffers()))


@MAKERS
def test_a_mode_that_is_set_inside_a_block(make: type) -> None:
    """What counts is the model as it is when its forward begins."""
    model = make()
    kept = [buffer.clone() for buffer in model.buffers()]
    plain = copy.deepcopy(model).train()(photos(4))
    with Capture(model) as recorder:
        model.train()
        assert torch.equal(model(photos(4)), plain)
    assert all(map(torch.equal, kept, model.buffers()))
    assert len(recorder.results) == 1


@MAKERS
def test_gradients_are_those_of_a_plain_forward(make: type) -> None:
    model = make().train()
    plain = torch.autograd.grad(model(photos(4)).square().sum(), list(model.parameters()))
    for _ in range(2):
        attention = capture(model, photos(4))
        again = torch.autograd.grad(attention.output.square().sum(), list(model.parameters()))
        assert all(map(torch.equal, plain, again))
        for layer in attention.values():
            assert not layer.channel.requires_grad
            assert not layer.spatial.requires_grad


def test_random_numbers_are_drawn_once() -> None:
    """Dropout sees the numbers that it would see without a capture."""
    model = nn.Sequential(tiny_authors(), nn.Dropout(0.5)).train()
    torch.manual_seed(3)
    plain, following = model(photos()), torch.rand(3)
    for _ in range(2):
        torch.manual_seed(3)
        assert torch.equal(capture(model, photos()).output, plain)
        assert torch.equal(torch.rand(3), following)


@MAKERS
def test_autocast(make: type) -> None:
    model = make()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = model(photos())
        runs = [capture(model, photos()) for _ in range(2)]
        features = capture(model, photos(), features=True)
    assert same_layers(*runs)
    assert same_layers(runs[0], features)
    for run in runs:
        assert torch.equal(run.output, plain)
    for layer in features.values():
        assert layer.verified
        assert layer.channel.dtype == layer.spatial.dtype == torch.float32
        step = torch.finfo(layer.dtype).eps
        close = torch.allclose(multiplied(layer), layer.features.after, rtol=4 * step, atol=step)
        assert close


@MAKERS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_whole_network_in_another_dtype(make: type, dtype: torch.dtype) -> None:
    model, image = make().to(dtype), photos().to(dtype)
    with torch.no_grad():
        runs = [capture(model, image) for _ in range(2)]
        assert torch.equal(runs[0].output, model(image))
    assert same_layers(*runs)
    for layer in runs[1].values():
        assert layer.dtype == dtype
        assert layer.verified
        assert layer.channel.dtype == layer.spatial.dtype == torch.float32
        rounded = layer.channel.to(dtype).float()
        assert torch.equal(rounded, layer.channel) or dtype == torch.float64


@MAKERS
def test_layouts_sizes_and_batches(make: type) -> None:
    model = make()
    with torch.no_grad():
        whole = capture(model, photos(3, 64, 96))
        for k in range(3):
            alone = capture(model, photos(3, 64, 96)[k : k + 1])
            for name, layer in whole.items():
                assert torch.allclose(alone[name].channel[0], layer.channel[k], atol=1e-5)
                assert torch.allclose(alone[name].spatial[0], layer.spatial[k], atol=1e-5)
        last = model.to(memory_format=torch.channels_last)
        image = photos(3, 64, 96).contiguous(memory_format=torch.channels_last)
        for _ in range(2):
            other = capture(last, image, features=True)
            for name, layer in other.items():
                assert torch.equal(multiplied(layer), layer.features.after)
                assert torch.allclose(layer.channel, whole[name].channel, atol=1e-5)
                assert layer.spatial.is_contiguous()
    assert whole["layer4.1.se"].spatial.shape == (3, 2, 3)


@TINY
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_autograd_modes(make: type, context: type) -> None:
    model = make()
    with torch.no_grad():
        expected = capture(make(), photos())
    with context():
        for _ in range(2):
            attention = capture(model, photos())
            assert same_layers(attention, expected)
            assert attention.output.requires_grad == (context is torch.enable_grad)


@TINY
def test_inputs_that_need_gradients(make: type) -> None:
    model = make().requires_grad_(False)
    image = photos().requires_grad_()
    attention = capture(model, image)
    attention.output.sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


@MAKERS
def test_wrapped_and_copied(make: type) -> None:
    model = make()
    with torch.no_grad():
        expected = capture(model, photos())
        for wrapper in (nn.DataParallel(model), AveragedModel(model)):
            assert same_layers(capture(wrapper, photos()), expected)
        twin = copy.deepcopy(model)
        assert hooks_of(twin) == 0
        assert same_layers(capture(twin, photos()), expected)
        inside = capture(nn.Sequential(nn.Identity(), model), photos())
    assert list(inside) == [f"1.{name}" for name in expected]


@TINY
def test_compiled_networks_are_never_empty(make: type) -> None:
    """Compiled before or after, as a whole, in part or in place; and compiled again afterwards."""
    with torch.no_grad():
        expected = capture(make(), photos())
        calls = []

        def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
            def run(*args: torch.Tensor) -> object:
                calls.append(1)
                return graph.forward(*args)

            return run

        def whole(model: nn.Module) -> nn.Module:
            return torch.compile(model, backend=backend)

        def in_place(model: nn.Module) -> nn.Module:
            model.compile(backend=backend)
            return model

        def in_part(model: nn.Module) -> nn.Module:
            model.layer2 = torch.compile(model.layer2, backend=backend)
            return model

        for wrap in (whole, in_place, in_part):
            torch._dynamo.reset()
            model = wrap(make())
            model(photos())
            ran = len(calls)
            assert ran > 0
            for _ in range(2):
                assert same_layers(capture(model, photos()), expected)
            with Capture(model) as recorder:
                model(photos())
            assert same_layers(recorder.attention(), expected)
            assert len(calls) == ran
            model(photos())
            assert len(calls) > ran  # it is compiled as before
    torch._dynamo.reset()


@TINY
def test_traced_networks(make: type) -> None:
    model = make()
    with torch.no_grad():
        expected = capture(model, photos())
        traced = torch.jit.trace(model, photos())
        attention = capture(traced, photos())
    assert [layer.composition for layer in attention.values()] == ["channel then spatial"] * 3
    for one, two in zip(attention.values(), expected.values(), strict=True):
        assert torch.allclose(one.channel, two.channel, atol=1e-6)
        assert torch.allclose(one.spatial, two.spatial, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@MAKERS
def test_on_a_gpu(make: type) -> None:
    model = make().cuda()
    image = photos().cuda()
    with torch.no_grad():
        runs = [capture(model, image, features=True) for _ in range(2)]
        wrapped = capture(nn.DataParallel(model), image)
        with torch.autocast("cuda", torch.float16):
            half = capture(model, image)
    assert same_layers(*runs)
    assert same_layers(wrapped, runs[0])
    for layer in runs[1].values():
        assert layer.channel.device.type == "cpu"
        assert torch.equal(multiplied(layer), layer.features.after)
    assert {layer.dtype for layer in half.values()} <= {torch.float16, torch.float32}
