from __future__ import annotations

import torch
from torch import nn

from training.measure.gradcam import gradcam


def test_gradcam_of_a_linear_network_is_its_weighted_feature_map() -> None:
    class Linear(nn.Module):
        """Logit c is the mean over pixels of channel c, times c + 1."""

        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Identity()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.stage(images * 1).mean((2, 3)) * torch.tensor([1.0, 2.0, 3.0])

    images = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    network = Linear()
    maps = gradcam(network, network.stage, images.clone(), torch.tensor([0, 2]))
    torch.testing.assert_close(maps[0], torch.relu(images[0, 0] / 20))
    torch.testing.assert_close(maps[1], torch.relu(images[1, 2] * 3 / 20))
