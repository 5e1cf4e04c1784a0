"""A capture's result without a network: all kinds of layers, with values that are hard to store."""

from __future__ import annotations

import math

import torch

from cbam_viz.attention import (
    Attention,
    Cells,
    ChannelBranches,
    LayerAttention,
    SpatialDescriptors,
    Unsupported,
)
from cbam_viz.images import Geometry
from cbam_viz.store import Provenance

NAMES = ["layer1.0.se", "layer1.0.se#2", "stage/2", "../../escape", 'größe, "x"\n=1', "Layer1.0.SE"]


PLACES = {
    4: Cells(32, 16.5, 0.5, 1 / 3, exact=False, within=None),
    5: Cells(32, 16.5, 0.5, 1 / 3, exact=False, within=7.5),
}
"""Those that are not exact, by number of the layer."""


def attention(batch: int = 2) -> Attention:
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    layers = {}
    for number, name in enumerate(NAMES):
        layers[name] = LayerAttention(
            name=name,
            module=name.partition("#")[0],
            call=2 if "#" in name else 1,
            stage="layer1",
            channel=None if number == 2 else values(batch, 3 + number),
            spatial=None if number == 3 else values(batch, 2, 3),
            cells=None if number == 3 else PLACES.get(number, Cells(32, 16.5, 0.5, 1 / 3)),
            composition=("spatial" if number == 2 else "channel" if number == 3 else "parallel"),
            found_by="watch" if number % 2 else "hook",
            verified=number != 5,
            dtype=torch.bfloat16 if number == 1 else torch.float32,
            branches=ChannelBranches(values(batch, 3), values(batch, 3)) if number == 0 else None,
            descriptors=SpatialDescriptors(values(batch, 2, 3), values(batch, 2, 3))
            if number == 0
            else None,
        )
    special = layers[NAMES[0]].channel
    assert special is not None
    special[0, :3] = torch.tensor([math.nan, math.inf, 1e-45])
    return Attention(
        layers,
        output=values(batch, 10),
        input_size=(224, 320),
        unsupported=(Unsupported("bam1", "one joint gate"),),
        not_called=("layer9.se",),
    )


PROVENANCE = Provenance(
    model="resnet50",
    checkpoint_sha256="ab" * 32,
    photo="cät.jpg",
    photo_sha256="cd" * 32,
    geometry=Geometry(
        (300, 451), (224, 224), 300 / 256, 451 / 384, 18.75, 93.958, "crop", (124, 116, 104)
    ),
    extra={"note": "for a test", "levels": [1, 2.5, None]},
)
