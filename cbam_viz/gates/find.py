"""Which layers a network has, without an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .._text import named
from ..attention import Attention, LayerAttention
from ..errors import CaptureError, NoAttentionError
from ..wrappers import undriven, unwrap
from .api import capture
from .model.names import ROOT_NAME
from .plan.table import table_of


def find_cbam_layers(model: nn.Module, *args: Any, **kwargs: Any) -> list[str]:
    """Dotted names of the CBAM layers of `model`, in order of execution; empty if it has none.

    Layers of timm's classes are found by class. A network of other classes runs once, on noise of
    the size in its `pretrained_cfg` (else 224 pixels) or on the arguments given here, and is as it
    was afterwards, buffers and random state included. Gates that come alone (SE, ECA) are no CBAM.

    Raises:
        CaptureError: the network cannot run on such an input; pass it one.
    """
    if not isinstance(model, nn.Module):
        raise CaptureError(f"find_cbam_layers needs a torch.nn.Module, not {type(model).__name__}.")
    model = undriven(model)
    modules = table_of(unwrap(model))[0].modules
    if modules.known and not modules.lookalikes and not args and not kwargs:
        return [layer.name for layer in modules.known.values()]
    layers = cbam_layers_seen(model, *(args if args or kwargs else (noise_for(model),)), **kwargs)
    return list(dict.fromkeys(layer.module for layer in layers))


def attention_tensors(model: nn.Module, *args: Any, **kwargs: Any) -> frozenset[str]:
    """Dotted names of the parameters and buffers that make the gates of `model`, of every kind.

    Found by one forward, as in `find_cbam_layers`; empty for a network without gates. Layers that
    look like CBAM and did not run count too.

    Raises:
        CaptureError: the network cannot run on such an input; pass it one.
    """
    inputs = args if args or kwargs else (noise_for(model),)
    attention = _seen(model, *inputs, **kwargs)
    if attention is None:
        return frozenset()
    weights: set[str] = set()
    for layer in attention.values():
        # What the gate was computed from may lie outside the layer, as in attention gates.
        inside = "" if layer.module == ROOT_NAME else f"{layer.module}."
        weights |= {name for name in layer.weights if name.startswith(inside)}
    root = unwrap(model)
    holders = {name.rpartition(".")[0] for name in weights}
    weights |= {name for name, _ in root.named_buffers() if name.rpartition(".")[0] in holders}
    unused = tuple(f"{name}." for name in attention.not_called)
    return frozenset(n for n in root.state_dict() if n in weights or n.startswith(unused))


def cbam_layers_seen(model: nn.Module, *args: Any, **kwargs: Any) -> list[LayerAttention]:
    """What one forward shows of layers with both gates; the network is as it was afterwards.

    Raises:
        CaptureError: the network cannot run on such an input.
    """
    attention = _seen(model, *args, **kwargs)
    layers = () if attention is None else attention.values()
    return [layer for layer in layers if None not in (layer.channel, layer.spatial)]


def _seen(model: nn.Module, *args: Any, **kwargs: Any) -> Attention | None:
    """One forward that leaves the network and the random state as they were; None: no gates."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=list(devices)), torch.no_grad():
            return capture(model, *args, **kwargs)
    except (NoAttentionError, CaptureError):
        return None
    except Exception as error:
        raise CaptureError(
            "The network does not run on an image of noise of shape "
            f"{tuple(args[0].shape) if args and isinstance(args[0], Tensor) else 'as given'} "
            f"({named(error)}). Pass it an input of its own: "
            "find_cbam_layers(model, x), or look at list(capture(model, x))."
        ) from error


def noise_for(model: nn.Module, size: tuple[int, int] | None = None) -> Tensor:
    """Two images of noise, as the network may take them; the global random state is not used.

    Of height and width `size`, or of those in its `pretrained_cfg`, or of 224 pixels.
    """
    from ..models.channels import input_channels

    root = unwrap(model)
    cfg = getattr(root, "pretrained_cfg", None)
    shape = cfg.get("input_size") if isinstance(cfg, dict) else None
    first = next((p for p in root.parameters() if p.is_floating_point()), None)
    channels = input_channels(root)  # of the network: timm describes 3 whatever `in_chans` was
    sides = size or (shape[1:] if shape is not None else (224, 224))
    shape = (channels, *sides)
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(2, *shape, generator=generator, dtype=torch.float32, device="cpu")
    return noise if first is None else noise.to(first.device, first.dtype)
