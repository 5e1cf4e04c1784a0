"""`ablate`: a block in which a network's gates are others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz._text import quoted
from cbam_viz.ablation._capture import (
    Buffers,
    allow_compiled,
    altered,
    capture,
    demand_plain,
    force_eager,
    is_compiled,
    train_lock,
)
from cbam_viz.ablation.learnt import GateName, Learned, distrust, in_training, learned_of
from cbam_viz.ablation.passes import Passing, acting, actor_of, call, hooked
from cbam_viz.ablation.replacements import Wish
from cbam_viz.ablation.replacing import Exchange
from cbam_viz.ablation.wishes import wanted
from cbam_viz.attention import Attention, LayerAttention
from cbam_viz.computation import GateKind
from cbam_viz.errors import CaptureError
from cbam_viz.wrappers import undriven, unwrap


def ablate(model: nn.Module, gates: Mapping[str, Wish | Mapping[GateKind, Wish]]) -> Ablation:
    """Replace gates of `model` in every forward inside a `with` block, in this thread alone.

        with cbam_viz.ablate(model, {"layer3": {"spatial": "one"}}):
            logits = model(x)

    Gates are exchanged where they are multiplied, so it does not matter how the code makes them:
    every gate that `capture` finds can be replaced. All else is the network's own arithmetic.
    Weights and code are not touched; other threads' forwards are as ever, and so are later ones.
    In train mode the buffers are put back after each forward. Blocks can be nested: all wishes
    hold, the inner ones where both mean the same gate.

    The first forward of each kind (input shape, mode, settings of modules) is preceded by two
    others on the same input, which find the gates and prove them found, and leave random numbers
    and buffers as they were; hooks of the user's are called in these too. The block's forwards have
    no gradients. A network that torch.compile has compiled runs eagerly in the block; one in
    TorchScript is called as the block's target, `with ablate(...) as ablated: ablated(x)`.

    Args:
        model: the network, in DataParallel or not.
        gates: by layer name, pattern (`layer3.*`) or stage (`layer3`), what replaces the layer's
            gates, or a mapping with `channel` or `spatial` or both. Of several that mean one gate,
            the last counts. What can replace a gate: `one` (the gate is off), `zero`, `mean` (its
            own, for each photo), `shuffled`, a number, an array of shape (C,) or (h, w), or (B, C)
            or (B, h, w); `Shuffled`, `Painted`, `Channels` and the others of `cbam_viz.ablation`;
            `GateMeans`, averages over a data set; a function from the gate to another.

    Raises:
        CaptureError: at the forward: a layer or gate is not there, did not run, cannot be replaced,
            or not by this; at the end of the block: no forward took place in it.
        NoAttentionError: at the forward: the network has no gates.
    """
    if not isinstance(model, nn.Module):
        raise CaptureError(
            f"ablate needs a torch.nn.Module, not {type(model).__name__}. Pass the network first "
            "and the gates after it: ablate(model, {'layer4': 'one'})."
        )
    if not isinstance(gates, Mapping) or not gates:
        raise CaptureError(
            "Say which gates are replaced by what: ablate(model, {'layer4': 'one'})."
        )
    for name in gates:
        if not isinstance(name, str):
            raise CaptureError(
                f"Layers, stages and patterns are named by texts, such as 'layer4'; {quoted(name)} "
                "is none."
            )
    return Ablation(model, gates)


class Ablation:
    """The block that `ablate` opens; call it, or the network itself, inside."""

    def __init__(self, model: nn.Module, gates: Mapping[str, Wish]) -> None:
        self.model, self.root = undriven(model), unwrap(model)
        self.wishes = tuple(gates.items())
        self.acted: dict[GateName, Tensor] = {}
        """By layer and kind, what the gates were replaced by in the last forward, as it acted:
        (B, C) or (B, h, w), float32 on the CPU."""
        self.forwards = 0
        """How many have ended in the block."""
        self._stack = ExitStack()
        self._forward = ExitStack()
        self._mode = Passing()
        self._depth = 0
        self._exchange: Exchange | None = None
        self._learned: Learned | None = None
        self._outer: Ablation | None = None

    def __enter__(self) -> Ablation:
        self.forwards, self.acted = 0, {}
        with ExitStack() as stack:
            if is_compiled(self.model.modules()):
                force_eager()
                stack.callback(allow_compiled)
            outer = actor_of(self.root)
            self._outer = outer if isinstance(outer, Ablation) else None
            stack.enter_context(hooked(self.root))
            stack.enter_context(acting(self.root, self))
            stack.enter_context(self._mode)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._depth = 0
            self._close()
        finally:
            self._stack.close()
        if kind is None and not self.forwards:
            raise CaptureError(
                "No forward of the model ended inside the block, so no gate was replaced. Call the "
                "model itself there, in the block's own thread, not a copy of it or one of its "
                "parts; a network in TorchScript as the block's target: `with ablate(...) as "
                "ablated: ablated(x)`."
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network with these gates; inside the block."""
        if actor_of(self.root) is None:
            raise CaptureError("Call it inside the block: `with ablate(...) as ablated: ...`.")
        model = self.root if isinstance(self.root, torch.jit.ScriptModule) else self.model
        return call(model, args, kwargs)

    def capture(self, *args: Any, **kwargs: Any) -> Attention:
        """Run the network with these gates and capture the gates that act in it.

        Those replaced are given as they acted; all others as the network then computed them.
        Arguments and errors are those of `cbam_viz.capture` but for the model.
        """
        found = capture(self.model, *args, **kwargs)
        assert self._learned is not None
        layers = {name: self._as_acted(layer) for name, layer in found.items()}
        return replace(found, layers=layers)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Find the gates of this kind of forward."""
        self._depth += 1
        if self._depth > 1:
            return
        demand_plain()
        learned = learned_of(self.root, args, kwargs)
        replaced = wanted(self._all_wishes(), learned)
        if any(len(learned.gates[gate].sites) > 1 for gate in replaced):
            learned = learned_of(self.root, args, kwargs, anew=True)
        self._learned = learned
        self._exchange = Exchange(self.root, learned, replaced)

    def start(self) -> None:
        """The network's own code comes next."""
        exchange = self._exchange
        if self._depth > 1 or exchange is None:
            return
        with ExitStack() as stack:
            if in_training(self.root):
                stack.enter_context(train_lock)
                stack.callback(Buffers(self.root).restore)
            stack.callback(torch.set_grad_enabled, torch.is_grad_enabled())
            torch.set_grad_enabled(False)
            token = altered.set(True)
            stack.callback(altered.reset, token)
            self._forward = stack.pop_all()
        self._mode.act = exchange

    def done(self, output: Any) -> None:
        """It returned: raises CaptureError if a gate was not replaced."""
        exchange = self._exchange
        if self._depth > 1 or exchange is None:
            return
        self._close()
        try:
            exchange.demand_all()
        except CaptureError:
            distrust(self.root)
            raise
        block: Ablation | None = self
        while block is not None:  # the wishes of the blocks around it held as well
            block.acted = exchange.acted
            block.forwards += 1
            block = block._outer

    def end(self) -> None:
        """It is over, whether it returned or not."""
        self._depth = max(0, self._depth - 1)
        if self._depth == 0:
            self._close()

    def _close(self) -> None:
        self._mode.act = self._exchange = None
        self._forward.close()

    def _all_wishes(self) -> tuple[tuple[str, Wish], ...]:
        outer = () if self._outer is None else self._outer._all_wishes()
        return (*outer, *self.wishes)

    def _as_acted(self, layer: LayerAttention) -> LayerAttention:
        own = {
            kind: self.acted[layer.name, kind]
            for kind in ("channel", "spatial")
            if (layer.name, kind) in self.acted
        }
        place = self._learned.layers.get(layer.name) if self._learned is not None else None
        if not own or place is None:
            return layer
        # That the product is one with this very factor is our own doing.
        return replace(layer, **own, verified=place.verified)  # type: ignore[arg-type]
