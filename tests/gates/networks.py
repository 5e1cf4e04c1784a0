"""Small networks for the tests of capturing, and recomputations that share no code with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import timm
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.attention import LayerAttention


def timm_cbam(kind: str = "cbam", name: str = "resnet18", seed: int = 0) -> nn.Module:
    """A timm ResNet with CBAM whose gates are not all 0.5, in eval mode."""
    torch.manual_seed(seed)
    model = timm.create_model(
        name, num_classes=7, zero_init_last=False, block_args={"attn_layer": kind}
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics as a trained network has them
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def photos(batch: int = 2, height: int = 64, width: int = 64, seed: int = 1) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


class ChannelGate(nn.Module):
    """The structure of the authors' code: functional sigmoid, expanded gate, one MLP twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 16)
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        total = self.mlp(F.avg_pool2d(x, size, stride=size))
        total = total + self.mlp(F.max_pool2d(x, size, stride=size))
        return x * torch.sigmoid(total).unsqueeze(2).unsqueeze(3).expand_as(x)


class SpatialGate(nn.Module):
    """[max, mean] over channels, convolution, BatchNorm, functional sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.cat([x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)], 1)
        return x * torch.sigmoid(self.spatial(maps))


class AuthorsCbam(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate, self.SpatialGate = ChannelGate(channels), SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


def authors_cbam(name: str = "resnet18", seed: int = 0) -> nn.Module:
    """The same ResNet with modules of the authors' structure in place of timm's."""
    model = timm_cbam(name=name, seed=seed)
    for path, module in list(model.named_modules()):
        if type(module).__name__ == "CbamModule":
            parent, _, child = path.rpartition(".")
            layer = AuthorsCbam(module.channel.fc1.in_channels)
            setattr(model.get_submodule(parent), child, layer)
    return model.eval()


class Tiny(nn.Module):
    """Three layers of attention and little else, for tests that run thousands of forwards."""

    def __init__(self, layer: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3 = (layer(16) for _ in range(3))
        self.between = nn.Conv2d(16, 16, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer1(self.stem(x))
        return self.layer3(self.between(self.layer2(torch.relu(x)))).mean((2, 3))


def tiny_cbam(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Tiny(CbamModule).eval()


def tiny_authors(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Tiny(AuthorsCbam).eval()


def same_layers(one: object, two: object) -> bool:
    """Two captures with the same gates, bit for bit."""
    assert list(one) == list(two)
    return all(
        torch.equal(one[name].channel, two[name].channel)
        and torch.equal(one[name].spatial, two[name].spatial)
        for name in one
    )


def multiplied(layer: LayerAttention) -> Tensor:
    """x * M_c * M_s from a layer's own copies."""
    assert layer.features is not None
    assert layer.channel is not None
    assert layer.spatial is not None
    gated = layer.features.before * layer.channel[:, :, None, None]
    return gated * layer.spatial[:, None]


def hooks_of(model: nn.Module) -> int:
    """How many hooks of any kind the model carries."""
    kinds = (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_pre_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_backward_hooks",
    )
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def buffers(model: nn.Module) -> Iterator[Tensor]:
    """Copies of all buffers."""
    for buffer in model.buffers():
        yield buffer.clone()
