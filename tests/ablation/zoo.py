"""Every network of the zoo of captures, by name, with an input: gates of all kinds of code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.gates.networks import authors_cbam, photos, timm_cbam
from tests.gates.zoo import arithmetic, composition, published, sequential, skips
from tests.gates.zoo.pooled import ENDS
from tests.gates.zoo.raw import Modulated
from tests.gates.zoo.test_exact import EXACT, SEVERAL
from tests.gates.zoo.test_folded import WAYS, Folded
from tests.gates.zoo.test_folded import FramesInChannels as Frames
from tests.gates.zoo.test_hosts import Eightfold
from tests.gates.zoo.test_plain import CHANNEL, timm_network
from tests.gates.zoo.test_pooled import ending
from tests.gates.zoo.test_raw import STRUCTURES as RAW
from tests.gates.zoo.test_skips import BLOCKS, SKIPS
from tests.gates.zoo.test_spread import WIDE
from tests.gates.zoo.truth import CHANNELS, host, photo, ready

_ALIVE = {name: {"zero_init_last": False} for name in ("seresnet18", "regnety_002")}
"""A fresh residual block of theirs gives zero, whatever its gates are."""

Made = tuple[nn.Module, tuple[Any, ...]]


def _seeded(make: Callable[[], nn.Module], *x: Tensor) -> Made:
    torch.manual_seed(0)
    return ready(make()), x


HOSTED = {
    **EXACT,
    **SEVERAL,
    **arithmetic.NEVER_WRONG,
    **WIDE,
    **RAW,
    "Modulated": Modulated,
    "Unpaired": sequential.Unpaired,
    **published.OTHER,
}

NETWORKS: dict[str, Callable[[], Made]] = {
    **{name: partial(lambda make: (host(make), (photo(),)), make) for name, make in HOSTED.items()},
    **{
        f"folded, {way}": partial(lambda way: _seeded(lambda: Folded(WAYS[way]), folded()), way)
        for way in WAYS
    },
    **{
        f"{block} and {skip}": partial(
            lambda block, skip: _seeded(lambda: skips.UNet(BLOCKS[block], SKIPS[skip]), photo()),
            block,
            skip,
        )
        for block in BLOCKS
        for skip in SKIPS
    },
    **{
        f"ending in {end}": partial(
            lambda end: (ending(sequential.OneStatement, ENDS[end]), (photo(),)), end
        )
        for end in ENDS
    },
    "one module eight times": lambda: _seeded(Eightfold, photo()),
    "frames in channels": lambda: _seeded(Frames, torch.randn(2, 9, 12, 10)),
    "blocks in a row": lambda: _seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, CHANNELS, 3),
            sequential.OneStatement(CHANNELS),
            composition.SpatialFirst(CHANNELS),
        ),
        photo(),
    ),
    **{
        name: partial(
            lambda name: (timm_network(name, **_ALIVE.get(name, {})), (photo(2, 64, 64),)), name
        )
        for name in CHANNEL
    },
    "timm": lambda: (timm_cbam(), (photos(2),)),
    "timm, light": lambda: (timm_cbam("lcbam"), (photos(2),)),
    "the authors'": lambda: (authors_cbam(), (photos(2),)),
}


def folded() -> Tensor:
    """Two photos of three frames, or six."""
    return torch.randn(2, 3, 3, 24, 20, generator=torch.Generator().manual_seed(1))


WITHOUT = frozenset(
    (
        *("Lerp", "SpatialGroups", "NormWeights", "Energy", "Bottleneck", "BottleneckMultiplied"),
        *("BottleneckRepeated", "Coordinates", "CoordinatesTogether", "CoordinatesRepeated"),
        *("MultiScale", "GlobalDense", "Strips", "LocalChannels", "GatheredPart", "Residuals"),
        *("CoordinatesLast", "BranchMaps", "OneNumber"),
    )
)
"""Those of attention of other kinds alone, in which there is no gate to replace."""
