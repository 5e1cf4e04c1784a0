"""The public functions: one forward, or a block in which the user runs their own."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Any

from torch import nn

from ..attention import Attention
from ..errors import CaptureError
from ..wrappers import clean_name, undriven, unwrap
from .model.names import ROOT_NAME
from .model.restore import allow_compiled, force_eager
from .model.wanted import Wanted, demand_found, demand_possible, layers
from .recorder import Recorder


def capture(
    model: nn.Module,
    *args: Any,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | str | Collection[str] = False,
    steps: bool | str | Collection[str] = False,
    **kwargs: Any,
) -> Attention:
    """Run one forward, `model(*args, **kwargs)`, and return its gates and its output.

    Any network will do: layers of timm's `CbamModule` and `LightCbamModule` are read by hooks, all
    other channel and spatial gates are found where they multiply a feature map. The forward is the
    model's own, in its own mode, under the caller's autograd, autocast and inference mode; output
    and logits are the bits that a plain forward gives. In train mode the buffers (BatchNorm's
    statistics) are put back afterwards.

    The first forward on a network is watched, which takes about twice as long on a ResNet and
    more where a forward is a matter of milliseconds (13 times on a GhostNet at 96 px). Later
    ones follow what it showed, at hardly any cost, while they go the same way: no module is called
    that was not called then; those that give gates, multiply or resize maps (themselves, and not by
    modules inside them) are called as often and in the same order; numbers, words and flags that
    modules and their classes keep as attributes, also in lists, dicts and plain objects, are the
    same, and so are those that the code of modules, and of the functions that it names, asks of
    globals, closures, defaults, other classes and the environment; the user's hooks, on all modules
    too, are the same and keep the same; and the features around each layer are those that its gates
    give. A forward that went another way is run again, with the same random numbers, and watched.
    If it drew some from Python's or NumPy's generators, and those before it drew none, these are
    not known any more, and a CaptureError asks for another capture.

    Watched from the start is each forward of a network that reads numbers out of tensors, as it
    does to choose experts or to stop early, that calls modules inside torch.vmap or parts of timm's
    layers by themselves, and of one that has changed its way twice. What cannot be noticed is a
    gate that comes and goes without any of these signs: made of plain operations, or by a module
    that had served for features alone, switched by neither a tensor's value nor anything that
    Python keeps under a name (by a file's content, say, or the time), and not next to a layer of
    unknown class, which is checked.

    A network that torch.compile has compiled runs eagerly while it is captured: its numbers may
    differ from the compiled ones by rounding. DataParallel over several GPUs runs on the first one.

    Args:
        model: a network, in DataParallel or not; TorchScript too.
        *args: what the model takes; maps lie on the first (B, C, H, W) tensor, or else on the first
            list of (C, H, W) tensors, array, or picture of Pillow's.
        branches: also the two summands of the channel logits (CBAM, eq. 2), where there are two.
        descriptors: also the mean and maximum over channels that the spatial gate sees (eq. 3).
        features: also copies of the feature maps before, between and after the gates; of all
            layers, or of those with these names in the result (`layer1.0.se`, or `layer1.0.se#2`
            for its second call).
        steps: also each operation between a layer's features and its gates, with its result; of all
            layers, or of those with these names. Such a forward is watched, whatever is known.
        **kwargs: what the model takes by keyword.

    Returns:
        The gates in [0, 1] if the network squashes them by a sigmoid, and as they are if not.

    Raises:
        NoAttentionError: the network gates no feature map.
        CaptureError: the network has attention layers and none ran, or `model` is no network, or
            the forward shows no values: on the meta device, or inside torch.vmap or torch.func; or
            it went another way and cannot be run again with the same random numbers; or a layer is
            asked for by a name that none has (before the forward where no module has it either).
    """
    _demand_module(model)
    model = undriven(model)
    recorder = Capture(
        model, branches=branches, descriptors=descriptors, features=features, steps=steps
    )
    recorder.alone = True
    with recorder:
        recorder.run(_on_one_device(model), args, kwargs)
    return recorder.attention()


class Capture:
    """Capture every forward of `model` that runs inside a `with` block, in your own loop.

        with capturing(model) as recorder:
            for batch in loader:
                logits = model(batch)
        recorder.results[0]["layer1.0.se"].channel

    Only forwards in the block's own thread count, and other threads may capture the same model at
    the same time. Arguments are those of `capture`.

    A forward that turns out to have gone another way than those before it is run a second time with
    the same random numbers, and watched; your own output stays as it is. If the second run does not
    give the same bits, or draws from generators that the forwards before did not, the forward has
    no result and the block ends in a CaptureError. So it does if a layer that is asked for by its
    name was in none of its forwards.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        branches: bool = False,
        descriptors: bool = False,
        features: bool | str | Collection[str] = False,
        steps: bool | str | Collection[str] = False,
    ) -> None:
        _demand_module(model)
        model = undriven(model)
        self.model = model
        self.alone = False
        """True if the caller takes the output from the result, as `capture` does."""
        wanted = Wanted(branches, descriptors, layers(features), layers(steps))
        self._named = wanted.named
        self._recorder = Recorder(unwrap(model), wanted)
        self._eager = False

    def __enter__(self) -> Capture:
        recorder = self._recorder
        recorder.error, recorder.alone = None, self.alone
        modules = recorder.prepare().modules
        if self._named and not modules.scripted:  # what is inside has no names of its own
            there = [ROOT_NAME, *map(clean_name, modules.by_name)]
            demand_possible(self._named, there, [one.name for one in modules.known.values()])
        if modules.compiled or self.model is not recorder.root:
            self._eager = True
            force_eager()
        try:
            recorder.start(by_run=self.alone and self.model is recorder.root)
        except BaseException:
            self._allow()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._recorder.stop()
        finally:
            self._allow()
        if kind is not None:
            return
        if self._recorder.error is not None:
            raise self._recorder.error
        demand_found(self._named, self.results)

    def run(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the model; for TorchScript, which takes no hooks, the only way."""
        return self._recorder.run(model, args, kwargs)

    @property
    def results(self) -> list[Attention]:
        """One `Attention` for each forward that ended, in order."""
        return self._recorder.results

    def attention(self) -> Attention:
        """The result of the last forward.

        Raises:
            CaptureError: no forward of the model ended inside the block.
        """
        if not self.results:
            raise CaptureError(
                "No forward of the model ended inside the block. Call the model itself there, as "
                "in `with capturing(model) as recorder: model(x)`, not one of its methods or "
                "parts, and not a copy of it (ultralytics predicts with a copy: run it once and "
                "capture `yolo.predictor.model.model`). A DataParallel over several GPUs runs "
                "copies of the network in other threads: capture its `.module`. A scripted "
                "network takes no hooks: use capture(model, x)."
            )
        return self.results[-1]

    def _allow(self) -> None:
        if self._eager:
            self._eager = False
            allow_compiled()


def _demand_module(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise CaptureError(
            f"capture needs a torch.nn.Module, not {type(model).__name__}. "
            "Pass the network first and its input after it: capture(model, x)."
        )


def _on_one_device(model: nn.Module) -> nn.Module:
    """DataParallel over several GPUs would run copies of the network in other threads."""
    if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
        return nn.DataParallel(model.module, device_ids=model.device_ids[:1])
    return model
