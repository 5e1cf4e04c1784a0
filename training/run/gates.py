"""What the CBAM gates of a network do in training, and what it costs them to do nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class GateWatch:
    """Keeps, with gradients, what the gates of timm's CBAM modules were in the last forward.

    For each module in order: the channel gate's input (B, C, 1, 1) before the sigmoid, the channel
    weights of the same shape, and the spatial map (B, 1, h, w).
    """

    def __init__(self, network: nn.Module) -> None:
        self.inputs: dict[int, Tensor] = {}
        self.channel: dict[int, Tensor] = {}
        self.spatial: dict[int, Tensor] = {}
        cbams = [module for module in network.modules() if isinstance(module, CbamModule)]
        self.layers = len(cbams)
        self._hooks: list[RemovableHandle] = []
        for index, cbam in enumerate(cbams):
            channel = _keep(index, self.inputs, self.channel)
            self._hooks += [
                cbam.channel.gate.register_forward_hook(channel),
                cbam.spatial.gate.register_forward_hook(_keep(index, None, self.spatial)),
            ]

    def close(self) -> None:
        """Take the hooks off, and forget what they kept."""
        for hook in self._hooks:
            hook.remove()
        for kept in (self.inputs, self.channel, self.spatial):
            kept.clear()

    def mean_square(self) -> Tensor:
        """Mean over layers of the mean squared input of the channel gates; a scalar.

        0 where all channel weights are 0.5; it grows as they saturate.
        """
        return torch.stack([value.float().square().mean() for value in self.inputs.values()]).mean()

    def openness(self) -> Tensor:
        """Mean over layers of the mean of the spatial maps, 0..1; a scalar."""
        return torch.stack([value.float().mean() for value in self.spatial.values()]).mean()

    def describe(self) -> dict[str, list[float]]:
        """Means of all gates, and the mean standard deviation within a photo, layer by layer."""
        found: dict[str, list[float]] = {}
        for name, gates in (("channel", self.channel), ("spatial", self.spatial)):
            flat = [gate.detach().float().flatten(1) for gate in gates.values()]
            found[name] = [round(gate.mean().item(), 3) for gate in flat]
            found[f"{name}_within"] = [round(gate.std(1).mean().item(), 3) for gate in flat]
        return found


def _keep(
    index: int, inputs: dict[int, Tensor] | None, outputs: dict[int, Tensor]
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if inputs is not None:
            inputs[index] = args[0]
        outputs[index] = output

    return hook
