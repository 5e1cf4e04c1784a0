"""Which cells answer to one changed pixel: places found without any rule.

All weights become averages. Then a feature map is a blur of the image, a path's share of a cell
is the more concentrated the finer the path is, and the cell that answers most to a change of one
pixel is the one that lies there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cbam_viz.attention import Cells

AROUND = (0.0, 0.21, 0.38, 0.5, 0.67)
"""Where pixels are changed: these parts of the middle of the image, rows and columns."""


def averaging(model: nn.Module) -> nn.Module:
    """The network in double precision, each convolution a mean that counts the middle most."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            kernel = torch.outer(*map(_bell, module.kernel_size))
            inputs = module.in_channels / module.groups
            if isinstance(module, nn.ConvTranspose2d):
                inputs /= module.stride[0] * module.stride[1]
            module.weight.data[:] = kernel / inputs
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model.double().eval()


def _bell(size: int) -> Tensor:
    """A row of Pascal's triangle, of sum one: means of means keep their only peak, boxes do not."""
    row = torch.tensor([math.comb(size - 1, k) for k in range(size)], dtype=torch.float64)
    return row / row.sum()


@contextmanager
def _looking_at(gate: nn.Module, others: list[nn.Module]) -> Iterator[list[Tensor]]:
    """All gates let everything pass; what `gate` receives is kept."""
    seen: list[Tensor] = []
    handles = [one.register_forward_hook(lambda m, args, out: args[0]) for one in others]
    handles.append(gate.register_forward_pre_hook(lambda m, args: seen.append(args[0].clone())))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def answers(
    model: nn.Module, gate: nn.Module, gates: list[nn.Module], size: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Changed pixels (row, column), and by how much each cell before `gate` answers, (h, w)."""
    image = torch.full((1, 3, *size), 0.5, dtype=torch.float64)
    with _looking_at(gate, gates) as seen, torch.no_grad():
        model(image)
        for k, part in enumerate(AROUND):
            y, x = (int(n * (0.3 + 0.4 * p)) for n, p in zip(size, (part, AROUND[-k]), strict=True))
            changed = image.clone()
            changed[..., y, x] += 0.25
            model(changed)
            answer = (seen[-1] - seen[0]).abs().sum((0, 1))
            if answer.any():  # a network that takes every second pixel is blind to the others
                yield (y, x), answer


def assert_answered_in_place(
    model: nn.Module, gate: nn.Module, gates: list[nn.Module], cells: Cells, size: tuple[int, int]
) -> None:
    """The cell that answers most lies on the changed pixel; of several, one of them."""
    for (y, x), answer in answers(model, gate, gates, size):
        most = (answer >= answer.max() * (1 - 1e-9)).nonzero()
        off = [
            max(
                abs(cells.offset_y + int(i) * cells.stride_y - y - 0.5) - abs(cells.stride_y) / 2,
                abs(cells.offset_x + int(j) * cells.stride_x - x - 0.5) - abs(cells.stride_x) / 2,
            )
            for i, j in most
        ]
        assert min(off) <= 0.5, f"pixel {y}, {x}: {min(off):.2f} px beside it; {cells}"
