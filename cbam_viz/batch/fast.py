"""Ways to compute the same gates faster, measured and checked against the exact forward first.

A compiled network calls no hooks, so the gates must be among what it returns. The network is
exported to a graph of operations; in it, those whose results are the gates that `capture` gives for
the first photos are found and made outputs. So this knows no layer's code, and what cannot be told
for certain is refused.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from cbam_viz._text import named, said
from cbam_viz.attention import Attention
from cbam_viz.batch.finding import find_gates, furthest
from cbam_viz.batch.fusing import fuse_norms
from cbam_viz.batch.looking import DRAFT, Looker, first_photos
from cbam_viz.batch.sources.item import Item
from cbam_viz.errors import CbamVizError, ModelError
from cbam_viz.gates import capture
from cbam_viz.images import ModelInput, Photo
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import as_weights, running

WAYS = ("compile", "channels_last", "fuse", "bf16", DRAFT)
"""`compile`: torch.compile with constants folded in; `channels_last`: another order of values in
memory; `fuse`: BatchNorms made part of the convolutions before them (`compile` does that too);
`bf16`: half precision where it is safe, as torch.autocast chooses; `draft`: JPEGs are decoded at a
part of their size, which is no way to compute (`drafting.py`)."""

EXACT, HALF = 1e-5, 3e-2
"""How far gates may be from the exact ones; with bf16 or draft."""
_ROUNDS = 3

Forward = Callable[[Tensor], Attention]


@dataclass(frozen=True)
class Effect:
    """What the ways did on the first photos."""

    ways: tuple[str, ...]
    speed: float
    """Times as fast as the exact forward with its capture."""
    gates: float
    """Largest difference of a gate."""
    output: float
    """Largest difference of the network's output, of all tensors in it."""
    allowed: float
    """How far gates may differ."""
    photos: int


def fast_forward(
    loaded: LoadedModel,
    photos: Sequence[tuple[Photo, ModelInput]],
    batch: int,
    ways: Sequence[str],
) -> tuple[Forward, Effect]:
    """Return a forward of exactly `batch` photos that gives what `capture` gives, and its effect.

    Raises:
        ModelError: the network cannot be exported or compiled, or its gates cannot be told from
            each other on these photos, or they differ by more than is allowed: the text has the
            figure.
    """
    (x,) = as_weights(loaded.model, [_filled(photos, batch)])
    view = photos[0][1].geometry.view
    with running(loaded, (x,), view):
        exact = capture(loaded.model, x)
    try:
        with _without_logs():
            forward = _prepared(loaded, x, exact, ways)
            effect = _effect(loaded, x, exact, forward, tuple(ways))
    except CbamVizError:
        raise
    except Exception as error:  # whatever export and compilation meet
        raise ModelError(
            f"{loaded.name} cannot be made faster by {', '.join(ways)}: {_cause(error)}. Leave "
            "--fast out."
        ) from error
    refuse_beyond(loaded, ways, effect.gates, effect.photos, allowed=effect.allowed)
    return forward, replace(effect, photos=len(photos))


def refuse_beyond(
    loaded: LoadedModel,
    ways: Sequence[str],
    gates: float,
    photos: int,
    *,
    allowed: float,
    way: str = "",
) -> None:
    """Raise ModelError, with the figure, if gates differ by more than is allowed, or by NaN.

    `way` is the one to leave out; without it, all of them.
    """
    if not gates <= allowed:
        leave = f"--fast {way}".rstrip()
        raise ModelError(
            f"With {', '.join(ways)} gates of {loaded.name} differ by {gates:.2g} from the exact "
            f"ones on {first_of(photos)}; {allowed:g} is allowed. Leave {leave} out."
        )


def _cause(error: Exception) -> str:
    """What went wrong, in words; torch's own begin with which part of it noticed."""
    if isinstance(error, GuardOnDataDependentSymNode):
        return "its code decides by values of its input, which torch.export cannot follow"
    inner = getattr(error, "inner_exception", None)
    return named(inner, 300) if isinstance(inner, Exception) else said(error, 300).rstrip(".")


@contextmanager
def _without_logs() -> Iterator[None]:
    """Keep what torch writes of failures (whole graphs) off the terminal: the error says why."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def first_of(photos: int) -> str:
    """The photos that were measured, in words."""
    return "the first photo" if photos == 1 else f"the first {photos} photos"


def computing(ways: Sequence[str]) -> tuple[str, ...]:
    """Those of the ways that change how a network computes, and so need `faster`."""
    return tuple(way for way in ways if way != DRAFT)


def faster(looker: Looker, items: Iterator[Item]) -> tuple[Looker, Effect]:
    """Let a looker compute by its settings' ways, made for the first photos. Raises ModelError."""
    photos, ways = first_photos(looker, items, looker.batch), computing(looker.settings.fast)
    forward, effect = fast_forward(looker.loaded, photos, looker.batch, ways)
    return replace(looker, forward=forward), effect


def _filled(photos: Sequence[tuple[Photo, ModelInput]], batch: int) -> Tensor:
    """As many inputs as go together, the last one again and again where there are less."""
    tensors = [made.tensor for _, made in photos if made.tensor.shape == photos[0][1].tensor.shape]
    return torch.cat([*tensors, *(batch - len(tensors)) * tensors[-1:]])


def _prepared(loaded: LoadedModel, x: Tensor, exact: Attention, ways: Sequence[str]) -> Forward:
    with torch.no_grad():
        program = torch.export.export(loaded.model, (x,), strict=False)
        module = program.module()  # shares its parameters with the network, which stays as it is
        assert isinstance(module, fx.GraphModule)
        names = _give_gates(module, x, exact)
        if "fuse" in ways:
            fuse_norms(module)
        if "channels_last" in ways:
            _to_channels_last(module)
    run: Callable[[Tensor], Sequence[Tensor]] = module
    if "compile" in ways:
        run = _compiled(module)
    structure = program.call_spec.out_spec

    def forward(inputs: Tensor) -> Attention:
        (made,) = as_weights(loaded.model, [inputs])
        if "channels_last" in ways:
            made = made.contiguous(memory_format=torch.channels_last)
        with _precision(made, ways):
            results = run(made)
        gates = dict(zip(names, results[len(results) - len(names) :], strict=True))
        rest = [_float(one) for one in results[: len(results) - len(names)]]
        return _attention(exact, gates, pytree.tree_unflatten(rest, structure))

    return forward


def _compiled(module: fx.GraphModule) -> Callable[[Tensor], Sequence[Tensor]]:
    """Compile a graph, its weights folded in and laid out for the processor's convolutions.

    Freezing must be set around the calls, as the first of them compiles: given to torch.compile as
    an option, it comes after weights have become inputs of what is compiled, and folds nothing.
    The convolutions that it lays weights out for take no doubles.
    """
    from torch._inductor import config

    freezing = all(weight.dtype != torch.double for weight in module.parameters())
    run = torch.compile(module, options={"compile_threads": 1, "cpp.threads": 1})

    def frozen(inputs: Tensor) -> Sequence[Tensor]:
        with config.patch(freezing=freezing):
            results: Sequence[Tensor] = run(inputs)
        return results

    return frozen


def _to_channels_last(module: fx.GraphModule) -> None:
    for name, weight in list(module.named_parameters()):
        if weight.dim() == 4:
            owner, _, last = name.rpartition(".")
            moved = weight.detach().contiguous(memory_format=torch.channels_last)
            setattr(module.get_submodule(owner), last, nn.Parameter(moved, requires_grad=False))


def _precision(x: Tensor, ways: Sequence[str]) -> AbstractContextManager[Any]:
    return torch.autocast(x.device.type, torch.bfloat16) if "bf16" in ways else nullcontext()


def _float(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _attention(exact: Attention, gates: Mapping[str, Tensor], output: Any) -> Attention:
    """The attention of the first photos with the gates of others."""
    layers = {}
    for name, layer in exact.items():
        changed: dict[str, Any] = {
            part: gates[f"{name}/{part}"].detach().float().cpu().reshape(gate.shape)
            for part, gate in (("channel", layer.channel), ("spatial", layer.spatial))
            if gate is not None
        }
        layers[name] = replace(layer, **changed)
    return replace(exact, layers=layers, output=output)


def _give_gates(module: fx.GraphModule, x: Tensor, exact: Attention) -> list[str]:
    """Let a graph return its gates after its outputs, all in one tuple; return their names."""
    gates = {
        f"{name}/{part}": gate
        for name, layer in exact.items()
        for part, gate in (("channel", layer.channel), ("spatial", layer.spatial))
        if gate is not None
    }
    module.graph.set_codegen(fx.graph.CodeGen())
    module.recompile()
    chosen = find_gates(module, x, gates)
    (end,) = [node for node in module.graph.nodes if node.op == "output"]
    outputs = end.args[0] if isinstance(end.args[0], (tuple, list)) else (end.args[0],)
    end.args = ((*outputs, *chosen.values()),)
    module.graph.lint()
    module.recompile()
    return list(chosen)


def _effect(
    loaded: LoadedModel, x: Tensor, exact: Attention, forward: Forward, ways: tuple[str, ...]
) -> Effect:
    with torch.inference_mode():
        found = forward(x)  # compiles
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(_ROUNDS):
            for fast in (False, True):
                began = time.perf_counter()
                if fast:
                    forward(x)
                else:
                    capture(loaded.model, x)
                times[fast].append(time.perf_counter() - began)
    return Effect(
        ways,
        min(times[False]) / min(times[True]),
        apart(all_gates(exact), all_gates(found)),
        apart(pytree.tree_leaves(exact.output), pytree.tree_leaves(found.output)),
        HALF if "bf16" in ways else EXACT,
        len(x),
    )


def all_gates(attention: Attention) -> list[Any]:
    """The gates of all layers in order, None for those that a layer has not."""
    return [gate for layer in attention.values() for gate in (layer.channel, layer.spatial)]


def apart(some: Sequence[Any], others: Sequence[Any]) -> float:
    """The largest difference of two tensors in one place of both; what is no tensor is left out."""
    pairs = [(a, b) for a, b in zip(some, others, strict=True) if isinstance(a, Tensor)]
    return max((furthest(_values(a), _values(b)) for a, b in pairs), default=0.0)


def _values(tensor: Tensor) -> Any:
    kind = torch.complex64 if tensor.is_complex() else torch.float32
    return tensor.detach().to("cpu", kind).resolve_conj().resolve_neg().numpy()
