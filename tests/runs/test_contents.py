"""What a network collects and counts in its forward, with a log in between."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cbam_viz.runs import log_gates
from tests.runs.nets import Gated
from tests.runs.test_log import probes

pytest.importorskip("pyarrow")


class Collecting(Gated):
    """Losses of inner layers, and counts, in objects that are changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[Tensor] = []
        self.recent: deque[int] = deque([7], maxlen=2)
        self.told = {"calls": 0, "inside": {"shapes": [(1, 2)]}}
        self.counts: Counter[str] = Counter(a=1)
        self.seen: set[int] = set()
        self.level = torch.zeros(2)
        self.array = np.zeros(2)
        self.pair = ([0], "fixed")

    def forward(self, x: Tensor) -> Tensor:
        self.losses.append(x.mean())
        self.recent.append(len(x))
        self.told["calls"] += 1
        self.told["inside"]["shapes"].append(tuple(x.shape))
        self.counts.update("b")
        self.seen.add(len(x))
        self.level += 1
        self.array += 1
        self.pair[0][0] += 1
        return super().forward(x)


def test_what_is_collected_in_place_is_as_before(tmp_path: Path) -> None:
    model = Collecting()
    model(torch.rand(5, 3, 16, 16))
    kept = model.losses, model.level, model.told["inside"]
    loss = model.losses[0]
    for epoch in (0, 1):
        log_gates(model, epoch, probes(), tmp_path / "run")
    assert kept[0] is model.losses
    assert kept[1] is model.level
    assert kept[2] is model.told["inside"]
    assert len(model.losses) == 1
    assert model.losses[0] is loss
    assert list(model.recent) == [7, 5]
    assert model.told == {"calls": 1, "inside": {"shapes": [(1, 2), (5, 3, 16, 16)]}}
    assert model.counts == {"a": 1, "b": 1}
    assert model.seen == {5}
    assert model.level.tolist() == model.array.tolist() == [1, 1]
    assert model.pair[0] == [1]
