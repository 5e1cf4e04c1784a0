"""Threads, errors in the middle, and nothing left behind."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from cbam_viz import CaptureError
from cbam_viz.attention import Attention
from cbam_viz.gates import Capture, capture

from .networks import (
    authors_cbam,
    hooks_of,
    photos,
    same_layers,
    timm_cbam,
    tiny_authors,
    tiny_cbam,
)

TINY = pytest.mark.parametrize("make", [tiny_cbam, tiny_authors])
MAKERS = pytest.mark.parametrize("make", [timm_cbam, authors_cbam])


@TINY
def test_eight_threads_on_one_model_get_their_own_gates(make: type) -> None:
    model = make()
    images = [photos(1, 32, 32, seed=k) for k in range(50)]
    with torch.no_grad():
        expected = [capture(model, image) for image in images]
    fresh = make()  # nothing learnt yet, so that threads also watch side by side
    start = threading.Barrier(8)

    def work(offset: int) -> list[bool]:
        start.wait()
        with torch.no_grad():
            order = [(offset * 7 + k) % 50 for k in range(50)]
            return [same_layers(capture(fresh, images[k]), expected[k]) for k in order]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert all(all(one) for one in results)
    assert hooks_of(fresh) == 0


def test_a_plain_forward_in_another_thread_is_not_recorded() -> None:
    model, done = timm_cbam(), threading.Event()
    with torch.no_grad(), Capture(model) as recorder:
        other = threading.Thread(target=lambda: (model(photos(3)), done.set()))
        other.start()
        other.join()
        model(photos(1))
    assert done.is_set()
    assert [one.output.shape[0] for one in recorder.results] == [1]


@TINY
def test_a_thousand_captures_leak_nothing(make: type) -> None:
    model, image = make(), photos(1, 12, 12)
    with torch.no_grad():
        for _ in range(20):
            capture(model, image)
        gc.collect()
        # What other tests left in this process is set aside: it may be let go at any time.
        gc.freeze()
        try:
            for _ in range(1000):
                capture(model, image)
            gc.collect()
            grown = len(gc.get_objects())
        finally:
            gc.unfreeze()
    assert grown < 50
    assert hooks_of(model) == 0


def test_other_sizes_and_models_are_let_go() -> None:
    """Plans are few, and neither they nor the results keep a model or each other alive."""
    model = tiny_authors()
    with torch.no_grad():
        for size in range(32, 64):
            result = capture(model, photos(1, size, size + 3))
    gate, layer = weakref.ref(result["layer1"].channel), weakref.ref(model)
    inner = weakref.ref(model.layer1)
    del result, model
    gc.collect()
    assert (gate(), layer(), inner()) == (None, None, None)


def test_hooks_taken_off_while_another_thread_is_among_them() -> None:
    """Torch asks for each hook whether it takes keywords; it may be gone by then."""
    model = tiny_cbam()
    table = model._forward_pre_hooks_with_kwargs

    def take_off(*_: object) -> None:
        table.clear()

    handle = model.register_forward_pre_hook(take_off, prepend=True)
    with torch.no_grad():
        expected = model(photos(1))
        with Capture(model) as recorder:
            other: list[object] = []
            model_thread = threading.Thread(
                target=lambda: other.append(torch.equal(model(photos(1)), expected))
            )
            model_thread.start()
            model_thread.join()
            handle.remove()
            table.update(dict.fromkeys(model._forward_pre_hooks, True))
            model(photos(1))
    assert other == [True]
    assert len(recorder.results) == 1


class Rerun(BaseException):
    """As Streamlit's: rises anywhere, and is no Exception."""


@MAKERS
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Rerun])
@pytest.mark.parametrize("watched", [True, False], ids=["first capture", "later capture"])
def test_an_error_in_the_middle_leaves_nothing(
    make: type, error: type[BaseException], watched: bool
) -> None:
    model, image = make(), photos()
    with torch.no_grad():
        if not watched:
            capture(model, image)
        bomb = model.layer3[0].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(error()))
        with pytest.raises(error):
            capture(model, image)
        bomb.remove()
        assert hooks_of(model) == 0
        assert _get_current_dispatch_mode_stack() == []
        expected = capture(make(), image)
        assert same_layers(capture(model, image), expected)


def test_an_error_in_train_mode_puts_statistics_and_lock_back() -> None:
    model = timm_cbam().train()
    kept = [buffer.clone() for buffer in model.buffers()]
    bomb = model.layer4.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(Rerun()))
    with pytest.raises(Rerun):
        capture(model, photos())
    bomb.remove()
    assert all(map(torch.equal, kept, model.buffers()))
    with ThreadPoolExecutor(1) as pool:  # another thread may capture: the lock is free
        assert len(pool.submit(capture, model, photos()).result(timeout=60)) == 8


def test_results_of_a_block_are_those_that_ended() -> None:
    model, image = timm_cbam(), photos(1)
    with torch.no_grad(), Capture(model) as recorder:
        model(image)
        bomb = model.layer4.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(OSError()))
        with pytest.raises(OSError):  # noqa: PT011
            model(image)
        bomb.remove()
        model(image * 2)
    assert len(recorder.results) == 2
    with torch.no_grad():
        assert same_layers(recorder.results[0], capture(model, image))
        assert same_layers(recorder.attention(), capture(model, image * 2))
    assert hooks_of(model) == 0


def test_blocks_may_lie_inside_each_other() -> None:
    outer_model, inner_model = timm_cbam(), timm_cbam("lcbam")
    with torch.no_grad(), Capture(outer_model) as outer:
        with Capture(inner_model) as inner:
            outer_model(photos(1))
            inner_model(photos(1))
        nested = capture(outer_model, photos(1))
        outer_model(photos(1))
    assert (len(outer.results), len(inner.results)) == (2, 1)
    assert same_layers(nested, outer.results[1])


def test_a_block_without_a_forward_says_so() -> None:
    model = timm_cbam()
    with torch.no_grad(), Capture(model) as recorder:
        model.forward_features(photos(1))
    with pytest.raises(CaptureError, match="Call the model itself"):
        recorder.attention()


def test_results_belong_to_the_caller_alone() -> None:
    """Writing into one result changes neither the network nor another result."""
    model = timm_cbam()
    with torch.inference_mode():
        one = capture(model, photos())
        two = capture(model, photos())
    one["layer1.0.se"].channel.fill_(9.0)  # not an inference tensor, either
    assert two["layer1.0.se"].channel.max() < 1
    assert isinstance(one, Attention)
    assert not one["layer1.0.se"].spatial.is_inference()


@MAKERS
def test_copies_are_of_no_memory_of_the_network(make: type) -> None:
    """Outside inference mode too, where what a hook has copied is given as it is."""
    model = make()
    with torch.no_grad():
        for _ in range(2):
            one = capture(model, photos())
            gates = [gate for layer in one.values() for gate in (layer.channel, layer.spatial)]
            places = [gate.untyped_storage().data_ptr() for gate in gates]
            assert len(set(places)) == len(places)
            assert all(gate.is_contiguous() for gate in gates)
            assert all(gate.untyped_storage().nbytes() == 4 * gate.numel() for gate in gates)
            for gate in gates:
                gate.fill_(9.0)
            two = capture(model, photos())
            assert torch.equal(two.output, one.output)
            assert all(layer.channel.max() < 1 for layer in two.values())


def test_a_hook_that_changes_what_the_network_is_given() -> None:
    """Maps lie on what the network itself received."""
    model = timm_cbam()
    handle = model.register_forward_pre_hook(lambda _, args: (args[0][..., ::2, ::2],))
    with torch.no_grad():
        for _ in range(2):
            halved = capture(model, photos(2, 64, 64))
            assert halved.input_size == (32, 32)
            assert hooks_of(model) == 1
        handle.remove()
        assert same_layers(capture(model, photos(2, 64, 64)[..., ::2, ::2]), halved)
    assert hooks_of(model) == 0


def test_hooks_of_the_user_stay() -> None:
    model, calls = timm_cbam(), []
    handle = model.layer1[0].se.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        capture(model, photos(1))
        capture(model, photos(1))
    assert len(calls) == 2
    assert hooks_of(model) == 1
    handle.remove()


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(CaptureError, match="not str"):
        capture("resnet18", photos())
    with pytest.raises(CaptureError, match="not Tensor"):
        Capture(photos())  # the arguments swapped
    assert isinstance(nn.Identity(), nn.Module)


class Refused(Exception):
    """What a hook of the user's raises."""


def refuse(*_: object) -> None:
    raise Refused


@TINY
@pytest.mark.parametrize("error", [Refused, KeyboardInterrupt, Rerun])
@pytest.mark.parametrize("when", ["before ours", "after ours", "inside", "at the end"])
@pytest.mark.parametrize("watched", [True, False], ids=["first capture", "later capture"])
def test_forwards_after_one_that_failed_are_captured(
    make: type, error: type[BaseException], when: str, watched: bool
) -> None:
    """Wherever it fails, and whether or not hooks are told of its end."""
    model, image, armed = make(), photos(1), [True]

    def bomb(*_: object) -> None:
        if armed[0]:
            raise error

    if not watched:
        with torch.no_grad():
            capture(model, image)
    if when == "before ours":
        handle = model.register_forward_pre_hook(bomb)
    elif when == "inside":
        handle = model.stem.register_forward_hook(bomb)
    elif when == "at the end":
        handle = model.register_forward_hook(bomb)
    with warnings.catch_warnings(), torch.no_grad(), Capture(model) as recorder:
        warnings.simplefilter("error")
        if when == "after ours":
            handle = model.register_forward_pre_hook(bomb)
        for _ in range(2):
            with pytest.raises(error):
                model(image)
        armed[0] = False
        outputs = [model(image), model(image * 2)]
    handle.remove()
    assert len(recorder.results) == 2
    assert hooks_of(model) == 0
    assert _get_current_dispatch_mode_stack() == []
    with torch.no_grad():
        for found, output, x in zip(recorder.results, outputs, (image, image * 2), strict=True):
            assert found.output is output
            assert same_layers(found, capture(make(), x))


class Again(nn.Module):
    """Calls itself on what it made, `times` times, and goes on if that fails."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.net, self.times = tiny_authors(), times

    def forward(self, x: torch.Tensor, depth: int = 0) -> torch.Tensor:
        if depth < self.times:
            with suppress(Refused):
                self(x * 0.5, depth + 1)
        return self.net(x)


@pytest.mark.parametrize("failing", [1, 2, None])
def test_a_network_that_calls_itself_and_fails(failing: int | None) -> None:
    """The outer forward is one, whichever call of its own inside it is refused before it begins."""
    model = Again(2).eval()

    def hook(_: nn.Module, args: tuple[object, ...]) -> None:
        if len(args) > 1 and args[1] == failing:
            raise Refused

    handle = model.register_forward_pre_hook(hook)
    with torch.no_grad(), Capture(model) as recorder:
        outputs = [model(photos(1)) for _ in range(2)]
    handle.remove()
    assert len(recorder.results) == 2
    for found, output in zip(recorder.results, outputs, strict=True):
        assert found.output is output
    calls = [layer.call for layer in recorder.results[0].values() if layer.module == "net.layer1"]
    assert calls == list(range(1, 2 + (2 if failing is None else failing - 1)))


def test_what_cannot_be_sampled_is_told_once_and_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """A capture that fails before the watch begins has no watch to end."""
    model, image = tiny_authors(), photos(1)

    def fail(*_: object) -> None:
        raise ValueError("no sample")

    with torch.no_grad():
        with monkeypatch.context() as patch:
            patch.setattr("cbam_viz.gates.watch.forward.sampled", fail)
            with pytest.raises(CaptureError, match="no sample") as told:
                capture(model, image)
            assert "deque" not in str(told.value)
            handle = model.stem.register_forward_pre_hook(refuse)
            with pytest.raises(Refused):
                capture(model, image)
            handle.remove()
        assert _get_current_dispatch_mode_stack() == []
        assert same_layers(capture(model, image), capture(tiny_authors(), image))
    assert [str(one.message) for one in recwarn] == []
