"""Muon for the convolutions, AdamW for the rest, and a moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from training.run.recipe import Recipe


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrix (M, N), roughly, by a quintic Newton-Schulz iteration.

    Coefficients of Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024):
    they bring singular values into about 0.7..1.2 in five steps.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x.bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(Optimizer):
    """Momentum whose update is made orthogonal, for convolution weights (O, I, H, W)."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters from their gradients."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["momentum"] = torch.zeros_like(param)
                velocity = state["momentum"]
                velocity.lerp_(param.grad, 1 - group["momentum"])
                update = param.grad.lerp(velocity, group["momentum"])  # Nesterov
                flat = orthogonalise(update.reshape(len(update), -1))
                # All updates have one spectral norm, but for tall matrices, whose outputs add up.
                size = max(1.0, flat.shape[0] / flat.shape[1]) ** 0.5
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(flat.reshape(update.shape).to(param.dtype), alpha=-group["lr"] * size)


def make_optimizers(model: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Muon for convolutions with 16 or more filters, AdamW for everything else.

    Weight decay is for matrices and filters only. Gate convolutions are AdamW's: Muon would turn
    each of their few directions as fast as it turns a wide layer's, and saturate the gates.
    """
    hidden: list[Tensor] = []
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for name, param in model.named_parameters():
        gate = ".channel." in name or ".spatial." in name
        if param.ndim == 4 and len(param) >= 16 and not gate and recipe.optimizer == "muon":
            hidden.append(param)
        else:
            (decayed if param.ndim >= 2 else plain).append(param)
    decay = recipe.weight_decay
    groups = [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
    optimizers: list[Optimizer] = [AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), foreach=True)]
    if hidden:
        optimizers.append(Muon(hidden, lr=recipe.muon_lr, weight_decay=decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[Optimizer], share: float) -> None:
    """Set each group's learning rate to `share` of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share


def averaging_share(decay: float, step: int, rate: float) -> float:
    """What share of the new weights enters the average at a step, 0..1.

    More in the first steps, and more as the learning rate falls (`rate` is its share of the peak):
    there is less noise to average away then, and the average must not lag behind at the end.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    return min(1.0, max(share, (1 - decay) / max(rate, 0.01)))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, share: float) -> None:
    """Move `average` towards `model`, weights and statistics."""
    own, new = average.state_dict(), model.state_dict()
    floats = [key for key in own if own[key].is_floating_point()]
    torch._foreach_lerp_([own[key] for key in floats], [new[key] for key in floats], share)
    for key in own.keys() - set(floats):
        own[key].copy_(new[key])
